-- Grain: one service, pickup zone and hour; valid trips with a zone only.

{{ config(materialized='by_month', built_from='fct_trips', partitioned=true) }}

with trips as (

    select * from {{ ref('fct_trips') }}
    where
        is_valid
        and pickup_zone_id is not null

)

select
    service,
    source_month,
    pickup_zone_id,
    {{ dbt.date_trunc('hour', 'pickup_at') }} as pickup_hour,
    count(*) as trips,
    cast(sum(passenger_count) as bigint) as passengers,
    {{ average_miles('trip_miles') }} as avg_trip_miles,
    {{ timed_average('trip_seconds') }} / 60 as avg_trip_minutes,
    {{ as_usd('sum(total_usd)') }} as total_usd
from trips
group by service, source_month, pickup_zone_id, {{ dbt.date_trunc('hour', 'pickup_at') }}
