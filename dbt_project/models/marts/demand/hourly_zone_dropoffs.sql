-- Grain: one service, month of the file, dropoff zone and hour; valid trips with both only.

{{ config(materialized='by_month', built_from='fct_trips', partitioned=true) }}

with trips as (

    select * from {{ ref('fct_trips') }}
    where
        is_valid
        and dropoff_zone_id is not null
        and dropoff_at is not null

)

select
    service,
    source_month,
    dropoff_zone_id,
    {{ dbt.date_trunc('hour', 'dropoff_at') }} as dropoff_hour,
    count(*) as trips,
    cast(sum(passenger_count) as bigint) as passengers,
    {{ average_miles('trip_miles') }} as avg_trip_miles,
    {{ timed_average('trip_seconds') }} / 60 as avg_trip_minutes,
    {{ as_usd('sum(total_usd)') }} as total_usd
from trips
group by service, source_month, dropoff_zone_id, {{ dbt.date_trunc('hour', 'dropoff_at') }}
