-- Grain: one service, month of the file, airport and hour; valid trips from and to airports.

{{ config(materialized='by_month', built_from='fct_trips') }}

with airports as (

    select zone_id from {{ ref('zone_groups') }}
    where is_airport

),

trips as (

    select * from {{ ref('fct_trips') }}
    where
        is_valid
        and pickup_zone_id in (select airports.zone_id from airports)

),

-- the facts under a second name: PostgreSQL would store a CTE that is read twice, every month of it
same_trips as (

    select * from {{ ref('fct_trips') }}
    where
        is_valid
        and dropoff_zone_id in (select airports.zone_id from airports)
        and dropoff_at is not null

),

ends as (

    select
        service,
        source_month,
        pickup_zone_id as airport_zone_id,
        {{ dbt.date_trunc('hour', 'pickup_at') }} as trip_hour,
        true as is_pickup,
        passenger_count,
        trip_seconds,
        total_usd
    from trips
    union all
    select
        service,
        source_month,
        dropoff_zone_id as airport_zone_id,
        {{ dbt.date_trunc('hour', 'dropoff_at') }} as trip_hour,
        false as is_pickup,
        passenger_count,
        trip_seconds,
        total_usd
    from same_trips

)

select
    service,
    source_month,
    airport_zone_id,
    trip_hour,
    count(case when is_pickup then 1 end) as pickups,
    count(case when not is_pickup then 1 end) as dropoffs,
    cast(sum(case when is_pickup then passenger_count end) as bigint) as pickup_passengers,
    cast(sum(case when not is_pickup then passenger_count end) as bigint) as dropoff_passengers,
    {{ timed_average('case when is_pickup then trip_seconds end') }} / 60
        as avg_pickup_trip_minutes,
    {{ timed_average('case when not is_pickup then trip_seconds end') }} / 60
        as avg_dropoff_trip_minutes,
    {{ as_usd('sum(case when is_pickup then total_usd end)') }} as pickup_total_usd,
    {{ as_usd('sum(case when not is_pickup then total_usd end)') }} as dropoff_total_usd
from ends
group by service, source_month, airport_zone_id, trip_hour
