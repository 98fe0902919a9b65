-- Grain: one service, day of pickup and side of the congestion relief zone; valid trips.

{{ config(materialized='by_month', built_from='fct_trips') }}

{%- set has_speed = 'trip_miles > 0 and ' ~ timed('trip_seconds') ~ ' >= 60' %}

{% set double = sql_type('double precision') -%}

with cbd_zones as (

    select zone_id from {{ ref('zone_groups') }}
    where is_cbd

),

trips as (

    select
        *,
        coalesce(pickup_zone_id in (select cbd_zones.zone_id from cbd_zones), false)
        or coalesce(dropoff_zone_id in (select cbd_zones.zone_id from cbd_zones), false) as is_cbd
    from {{ ref('fct_trips') }}
    where
        is_valid
        -- the toll began on 2025-01-05: a year before it to compare with
        and source_month >= date '2024-01-01'
        and (pickup_zone_id is not null or dropoff_zone_id is not null)

),

summed as (

    select
        service,
        source_month,
        cast(pickup_at as date) as pickup_date,
        is_cbd,
        count(*) as trips,
        -- FHV files have no column of the fee
        case
            when service <> 'fhv' then count(case when cbd_congestion_fee_usd > 0 then 1 end)
        end as fee_trips,
        {{ as_usd('sum(cbd_congestion_fee_usd)') }} as cbd_congestion_fee_usd,
        {{ as_usd('sum(total_usd)') }} as total_usd,
        count({{ timed('trip_seconds') }}) as timed_trips,
        {{ timed_average('trip_seconds') }} / 60 as avg_trip_minutes,
        {{ sum_miles('case when ' ~ has_speed ~ ' then trip_miles end') }} as measured_miles,
        cast(sum(case when {{ has_speed }} then trip_seconds end) as {{ double }}) / 3600
            as measured_hours
    from trips
    group by service, source_month, cast(pickup_at as date), is_cbd

)

select
    service,
    source_month,
    pickup_date,
    is_cbd,
    trips,
    fee_trips,
    cbd_congestion_fee_usd,
    total_usd,
    timed_trips,
    avg_trip_minutes,
    measured_miles,
    measured_hours,
    measured_miles / nullif(measured_hours, 0) as speed_mph
from summed
