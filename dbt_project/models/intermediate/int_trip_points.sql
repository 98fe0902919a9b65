-- Grain: one pickup or dropoff whose file gives its coordinates and no zone.

-- Read from staging, as through the union of int_trips PostgreSQL would compute every column of a
-- trip in each scan; and each under two names, as it would store a CTE that is read twice.
with yellow_pickups as (

    select * from {{ trips_of('yellow') }}
    where
        pickup_zone_id is null
        and dropoff_zone_id is null
        and pickup_longitude is not null

),

yellow_dropoffs as (

    select * from {{ trips_of('yellow') }}
    where
        pickup_zone_id is null
        and dropoff_zone_id is null
        and dropoff_longitude is not null

),

green_pickups as (

    select * from {{ trips_of('green') }}
    where
        pickup_zone_id is null
        and dropoff_zone_id is null
        and pickup_longitude is not null

),

green_dropoffs as (

    select * from {{ trips_of('green') }}
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
from yellow_pickups
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
from yellow_dropoffs
union all
select
    trip_id,
    service,
    source_month,
    true as is_pickup,
    pickup_longitude as longitude,
    pickup_latitude as latitude,
    {{ grid_cell('pickup_longitude') }} as cell_x,
    {{ grid_cell('pickup_latitude') }} as cell_y
from green_pickups
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
from green_dropoffs
