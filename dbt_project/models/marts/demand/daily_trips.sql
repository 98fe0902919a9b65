-- Grain: one service and day of pickup; valid trips only.

{{ config(materialized='by_month', built_from='fct_trips') }}

with trips as (

    select * from {{ ref('fct_trips') }}
    where is_valid

)

select
    service,
    source_month,
    cast(pickup_at as date) as pickup_date,
    count(*) as trips,
    cast(sum(passenger_count) as bigint) as passengers,
    {{ count_of_taxis('passenger_count is not null') }} as passenger_known_trips,
    {{ sum_miles('trip_miles') }} as trip_miles,
    {{ average_miles('trip_miles') }} as avg_trip_miles,
    count({{ timed('trip_seconds') }}) as timed_trips,
    {{ timed_average('trip_seconds') }} / 60 as avg_trip_minutes,
    {{ timed_median('trip_seconds') }} / 60 as median_trip_minutes,
    {{ as_usd('sum(fare_usd)') }} as fare_usd,
    {{ as_usd('sum(tip_usd)') }} as tip_usd,
    {{ as_usd('sum(total_usd)') }} as total_usd,
    {{ as_usd('sum(driver_pay_usd)') }} as driver_pay_usd,
    {{ count_of_taxis('payment_type_id = 1') }} as card_trips,
    {{ count_of_taxis('payment_type_id = 2') }} as cash_trips,
    -- the denominator of a share: rows without a payment type are no cash trips
    {{ count_of_taxis('payment_type_id in (1, 2, 3, 4)') }} as payment_known_trips
from trips
group by service, source_month, cast(pickup_at as date)
