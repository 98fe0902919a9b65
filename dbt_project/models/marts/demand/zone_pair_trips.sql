-- Grain: one service, month, pickup zone and dropoff zone; valid trips with both zones only.

{{ config(materialized='by_month', built_from='fct_trips', partitioned=true) }}

with trips as (

    select * from {{ ref('fct_trips') }}
    where
        is_valid
        and pickup_zone_id is not null
        and dropoff_zone_id is not null

)

select
    service,
    source_month,
    pickup_zone_id,
    dropoff_zone_id,
    count(*) as trips,
    {{ sum_miles('trip_miles') }} as trip_miles,
    {{ average_miles('trip_miles') }} as avg_trip_miles,
    count({{ timed('trip_seconds') }}) as timed_trips,
    {{ timed_average('trip_seconds') }} / 60 as avg_trip_minutes,
    {{ as_usd('sum(fare_usd)') }} as fare_usd,
    {{ as_usd('sum(total_usd)') }} as total_usd
from trips
group by service, source_month, pickup_zone_id, dropoff_zone_id
