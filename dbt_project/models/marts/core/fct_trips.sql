-- Grain: one row of a published trip file; every row is here, valid or flagged with its reason.

{{ config(
    materialized='by_month',
    datasets=trip_services(),
    partitioned=true,
    also_built_from={'dataset': 'taxi_zone_cells', 'columns': ['pickup_longitude', 'start_lon']},
) }}

with trips as (

    select * from {{ ref('int_trips_validated') }}

)

select
    {{ trip_columns() | join(',\n    ') }},
    invalid_reason,
    zone_source,
    invalid_reason is null as is_valid,
    -- seeds/companies.csv says what the licences are
    case hvfhs_license_num
        when 'HV0002' then 2
        when 'HV0003' then 3
        when 'HV0004' then 4
        when 'HV0005' then 5
    end as company_id,
    -- a ride that was asked for after it began was not waited for
    case
        when requested_at <= pickup_at
            then {{ seconds_between('requested_at', 'pickup_at') }}
    end as wait_seconds,
    -- of valid trips; under a minute the clock is too coarse, as in the rule of impossible_speed
    case
        when invalid_reason is null and trip_seconds >= 60
            then trip_miles * 3600 / trip_seconds
    end as speed_mph,
    -- 0.01 miles is the least that meters publish
    case
        when invalid_reason is null and trip_miles >= 0.01
            then fare_usd / trip_miles
    end as fare_per_mile
from trips
