-- Grain: one trip whose file gives coordinates and no zones, with the zones that they lie in.

with points as (

    select * from {{ ref('int_trip_points') }}

),

-- the same rows under a second name, as PostgreSQL would store a CTE that is read twice
same_points as (

    select * from {{ ref('int_trip_points') }}

),

whole_cells as (

    select * from {{ ref('stg_tlc__zone_cells') }}
    where is_whole

),

edges as (

    select * from {{ ref('stg_tlc__zone_cells') }}
    where not is_whole

),

in_whole_cells as (

    select
        points.trip_id,
        points.service,
        points.source_month,
        points.is_pickup,
        whole_cells.zone_id
    from points
    inner join whole_cells
        on
            points.cell_x = whole_cells.cell_x
            and points.cell_y = whole_cells.cell_y

),

-- a point lies in the part where a ray from it to the east meets an odd number of edges
in_parts as (

    select
        same_points.trip_id,
        same_points.service,
        same_points.source_month,
        same_points.is_pickup,
        edges.zone_id
    from same_points
    inner join edges
        on
            same_points.cell_x = edges.cell_x
            and same_points.cell_y = edges.cell_y
            and (same_points.latitude < edges.latitude_1)
            <> (same_points.latitude < edges.latitude_2)
            and same_points.longitude < edges.longitude_1
            + (same_points.latitude - edges.latitude_1)
            * (edges.longitude_2 - edges.longitude_1)
            / (edges.latitude_2 - edges.latitude_1)
    group by
        same_points.trip_id, same_points.service, same_points.source_month, same_points.is_pickup,
        edges.zone_id
    having count(*) % 2 = 1

),

found as (

    select * from in_whole_cells
    union all
    select * from in_parts

)

select
    trip_id,
    service,
    source_month,
    -- where shapes overlap by a hair, the first of the zones
    min(case when is_pickup then zone_id end) as pickup_zone_id,
    min(case when not is_pickup then zone_id end) as dropoff_zone_id
from found
group by trip_id, service, source_month
