-- Grain: one row of a published FHV file.

with trips as (

    select * from {{ source('tlc', 'fhv_tripdata') }}

)

select
    'fhv' as service,
    source_month,
    file_key,
    {{ trip_id(3) }} as trip_id,
    pickup_datetime as pickup_at,
    dropoff_datetime as dropoff_at,
    {{ seconds_between('pickup_datetime', 'dropoff_datetime') }} as trip_seconds,
    {{ as_integer('pulocationid') }} as pickup_zone_id,
    {{ as_integer('dolocationid') }} as dropoff_zone_id,
    dispatching_base_num,
    affiliated_base_number as affiliated_base_num,
    {{ as_integer('sr_flag') }} as shared_ride_flag
from trips
