-- Grain: one company, month and pickup zone; valid high-volume trips only.

{{ config(materialized='by_month', built_from='fct_trips') }}

{#- a pay of 0 was not recorded: there is a least pay for every trip since 2019-02 -#}
{%- set paid_seconds -%}
    case when driver_pay_usd <> 0 then {{ timed('trip_seconds') }} end
{%- endset -%}
{%- set pay_of_timed -%}
    case when {{ timed('trip_seconds') }} is not null then driver_pay_usd end
{%- endset -%}
{%- set paid_miles -%}
    case when driver_pay_usd <> 0 then trip_miles end
{%- endset -%}

{% set double = sql_type('double precision') -%}

with trips as (

    select * from {{ ref('fct_trips') }}
    where
        is_valid
        and service = 'fhvhv'
        and pickup_zone_id is not null

),

summed as (

    select
        service,
        company_id,
        source_month,
        pickup_zone_id,
        count(*) as trips,
        count(wait_seconds) as waited_trips,
        {{ average_count('wait_seconds') }} / 60 as avg_wait_minutes,
        {{ median('wait_seconds') }} / 60 as median_wait_minutes,
        {{ count_where_told('shared_request_flag', "shared_request_flag = 'Y'") }}
            as shared_asked_trips,
        {{ count_where_told('shared_match_flag', "shared_match_flag = 'Y'") }}
            as shared_matched_trips,
        {{ count_where_told('wav_request_flag', "wav_request_flag = 'Y'") }} as wav_asked_trips,
        {{ count_where_told('wav_match_flag', "wav_match_flag = 'Y'") }} as wav_trips,
        {{ count_where_told(
            'wav_match_flag', "wav_request_flag = 'Y' and wav_match_flag = 'Y'"
        ) }} as wav_asked_and_given_trips,
        {{ average_count("case when wav_request_flag = 'Y' then wait_seconds end") }} / 60
            as wav_asked_avg_wait_minutes,
        {{ median("case when wav_request_flag = 'Y' then wait_seconds end") }} / 60
            as wav_asked_median_wait_minutes,
        {{ as_usd('sum(fare_usd)') }} as fare_usd,
        {{ as_usd('sum(tip_usd)') }} as tip_usd,
        {{ as_usd('sum(driver_pay_usd)') }} as driver_pay_usd,
        -- pay by the hour is of trips with a duration that counts, and so by the mile
        {{ as_usd('sum(' ~ pay_of_timed ~ ')') }} as pay_of_timed_usd,
        cast(sum({{ paid_seconds }}) as {{ double }}) / 3600 as driver_hours,
        {{ as_usd('sum(case when trip_miles > 0 then driver_pay_usd end)') }}
            as pay_of_measured_usd,
        {{ sum_miles(paid_miles) }} as driver_miles,
        {{ as_usd('sum(case when driver_pay_usd <> 0 then fare_usd end)') }}
            as fare_of_paid_usd
    from trips
    group by service, company_id, source_month, pickup_zone_id

)

select
    service,
    company_id,
    source_month,
    pickup_zone_id,
    trips,
    waited_trips,
    avg_wait_minutes,
    median_wait_minutes,
    shared_asked_trips,
    shared_matched_trips,
    wav_asked_trips,
    wav_trips,
    wav_asked_and_given_trips,
    wav_asked_avg_wait_minutes,
    wav_asked_median_wait_minutes,
    fare_usd,
    tip_usd,
    driver_pay_usd,
    driver_hours,
    driver_miles,
    cast(pay_of_timed_usd as {{ double }}) / nullif(driver_hours, 0) as driver_pay_per_hour_usd,
    cast(pay_of_measured_usd as {{ double }}) / nullif(driver_miles, 0)
        as driver_pay_per_mile_usd,
    cast(fare_of_paid_usd - driver_pay_usd as {{ double }})
    / nullif(cast(fare_of_paid_usd as {{ double }}), 0) as platform_share
from summed
