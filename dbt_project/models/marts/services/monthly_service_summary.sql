-- Grain: one service, company (of high-volume trips) and month; valid trips only.

{{ config(materialized='by_month', built_from='fct_trips') }}

with trips as (

    select * from {{ ref('fct_trips') }}
    where is_valid

)

select
    service,
    company_id,
    source_month,
    count(*) as trips,
    cast(sum(passenger_count) as bigint) as passengers,
    {{ count_of_taxis('passenger_count is not null') }} as passenger_known_trips,
    {{ sum_miles('trip_miles') }} as trip_miles,
    {{ average_miles('trip_miles') }} as avg_trip_miles,
    {{ rounded_median('trip_miles', 4) }} as median_trip_miles,
    count({{ timed('trip_seconds') }}) as timed_trips,
    {{ timed_average('trip_seconds') }} / 60 as avg_trip_minutes,
    {{ timed_median('trip_seconds') }} / 60 as median_trip_minutes,
    count(wait_seconds) as waited_trips,
    {{ average_count('wait_seconds') }} / 60 as avg_wait_minutes,
    {{ median('wait_seconds') }} / 60 as median_wait_minutes,
    {{ as_usd('sum(fare_usd)') }} as fare_usd,
    {{ as_usd('sum(tip_usd)') }} as tip_usd,
    {{ as_usd('sum(total_usd)') }} as total_usd,
    {{ rounded_median('total_usd', 4) }} as median_total_usd,
    {{ as_usd('sum(driver_pay_usd)') }} as driver_pay_usd,
    {{ count_where_told('shared_request_flag', "shared_request_flag = 'Y'") }}
        as shared_asked_trips,
    coalesce(
        {{ count_where_told('shared_match_flag', "shared_match_flag = 'Y'") }},
        -- FHV files, and high-volume files as CSV, have one flag: 1, or none
        {{ count_where_told('shared_ride_flag', 'shared_ride_flag = 1') }}
    ) as shared_trips,
    {{ count_of_taxis('payment_type_id in (1, 2, 3, 4)') }} as payment_known_trips,
    {{ count_of_taxis('payment_type_id = 1') }} as card_trips,
    {{ count_of_taxis('payment_type_id = 2') }} as cash_trips
from trips
group by service, company_id, source_month
