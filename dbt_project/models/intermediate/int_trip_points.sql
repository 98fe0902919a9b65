-- Grain: one pickup or dropoff whose file gives its coordinates and no zone.

with pickups as (

    select * from {{ ref('int_trips') }}
    where
        pickup_zone_id is null
        and dropoff_zone_id is null
        and pickup_longitude is not null

),

-- the same rows under a second name, as PostgreSQL would store a CTE that is read twice
dropoffs as (

    select * from {{ ref('int_trips') }}
    where
        pickup_zone_id is null
        and dropoff_zone_id is null
        and dropoff_longitude is not null

)

select
    trip_id,
    service,
    source_month,
    true as is_pickup,
    pickup_longitude as longitude,
    pickup_latitude as latitude,
    {{ grid_cell('pickup_longitude') }} as cell_x,
    {{ grid_cell('pickup_latitude') }} as cell_y
from pickups
union all
select
    trip_id,
    service,
    source_month,
    false as is_pickup,
    dropoff_longitude as longitude,
    dropoff_latitude as latitude,
    {{ grid_cell('dropoff_longitude') }} as cell_x,
    {{ grid_cell('dropoff_latitude') }} as cell_y
from dropoffs
