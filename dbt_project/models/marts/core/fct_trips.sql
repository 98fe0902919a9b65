-- Grain: one row of a published trip file; every row is here, valid or flagged with its reason.

{{ config(**facts_config()) }}

{% set double = sql_type('double precision') -%}

with trips as (

    select * from {{ ref('int_trips_validated') }}

),

-- vendor 1 counts surcharges twice: in columns of their own, and in extra or the MTA tax
gaps as (

    select
        *,
        case when vendor_id = 1 then {{ as_usd(unexplained()) }} end as gap_usd,
        case
            when vendor_id = 1
                then {{ as_usd(total_of(
                    'coalesce(congestion_surcharge_usd, 0)',
                    ['airport_fee_usd', 'cbd_congestion_fee_usd']
                )) }}
        end as surcharges_usd,
        case
            when vendor_id = 1
                then {{ as_usd('coalesce(improvement_surcharge_usd, 0)') }}
        end as improvement_usd
    from trips

),

-- only where the trip adds up without them, to the cent
repeats as (

    select
        *,
        gap_usd = -surcharges_usd
        and abs(extra_usd) >= abs(surcharges_usd) as is_in_extra,
        gap_usd = -surcharges_usd - improvement_usd
        and abs(extra_usd) >= abs(surcharges_usd)
        and abs(mta_tax_usd) >= abs(improvement_usd) as is_in_extra_and_tax
    from gaps

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
            then {{ quotient('trip_miles * 3600', 'trip_seconds') }}
    end as speed_mph,
    -- 0.01 miles is the least that meters publish
    case
        when invalid_reason is null and trip_miles >= 0.01
            then {{ quotient('fare_usd', 'trip_miles') }}
    end as fare_per_mile,
    case
        when is_in_extra or is_in_extra_and_tax
            then cast({{ as_usd('extra_usd') }} - surcharges_usd as {{ double }})
        else extra_usd
    end as extra_corrected_usd,
    case
        when is_in_extra_and_tax
            then cast({{ as_usd('mta_tax_usd') }} - improvement_usd as {{ double }})
        else mta_tax_usd
    end as mta_tax_corrected_usd
from repeats
