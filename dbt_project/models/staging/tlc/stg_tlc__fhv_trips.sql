-- Grain: one row of a published FHV file.

with trips as (

    select * from {{ source('tlc', 'fhv_tripdata') }}

),

-- the CSV files of 2015, 2016 and 2018 have other names for these
named as (

    select
        *,
        coalesce(pickup_datetime, pickup_date) as pickup_at,
        coalesce(pulocationid, locationid) as pickup_location,
        coalesce(dispatching_base_number, dispatching_base_num) as dispatching_base
    from trips

)

select
    'fhv' as service,
    source_month,
    file_key,
    {{ trip_id('fhv') }} as trip_id,
    pickup_at,
    dropoff_datetime as dropoff_at,
    {{ seconds_between('pickup_at', 'dropoff_datetime') }} as trip_seconds,
    {{ as_integer('pickup_location') }} as pickup_zone_id,
    {{ as_integer('dolocationid') }} as dropoff_zone_id,
    dispatching_base as dispatching_base_num,
    affiliated_base_number as affiliated_base_num,
    {{ as_integer('sr_flag') }} as shared_ride_flag
from named
