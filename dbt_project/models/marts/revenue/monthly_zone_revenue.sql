-- Grain: one service, month and pickup zone; valid trips with a zone only.

{{ config(materialized='by_month', built_from='fct_trips') }}

{% set double = sql_type('double precision') -%}

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
    count(*) as trips,
    {{ as_usd('sum(fare_usd)') }} as fare_usd,
    {{ as_usd('sum(extra_usd)') }} as extra_usd,
    {{ as_usd('sum(mta_tax_usd)') }} as mta_tax_usd,
    {{ as_usd('sum(tip_usd)') }} as tip_usd,
    {{ as_usd('sum(tolls_usd)') }} as tolls_usd,
    {{ as_usd('sum(improvement_surcharge_usd)') }} as improvement_surcharge_usd,
    {{ as_usd('sum(congestion_surcharge_usd)') }} as congestion_surcharge_usd,
    {{ as_usd('sum(airport_fee_usd)') }} as airport_fee_usd,
    {{ as_usd('sum(cbd_congestion_fee_usd)') }} as cbd_congestion_fee_usd,
    {{ as_usd('sum(total_usd)') }} as total_usd,
    -- the totals of high-volume trips are made of their parts
    {{ as_usd("sum(case when service in ('yellow', 'green') then " ~ unexplained() ~ " end)") }}
        as unexplained_usd,
    {{ as_usd('sum(driver_pay_usd)') }} as driver_pay_usd,
    -- by the exact sum: an average of doubles differs in its last digits from run to run
    cast({{ as_usd('sum(total_usd)') }} as {{ double }}) / count(total_usd) as avg_total_usd,
    -- no charge (3) and dispute (4) are trips whose total was not paid; only taxis say so
    case
        when service in ('yellow', 'green')
            then count(case when payment_type_id in (3, 4) then 1 end)
    end as unpaid_trips,
    {{ as_usd('sum(case when payment_type_id in (3, 4) then total_usd end)') }} as unpaid_usd
from trips
group by service, source_month, pickup_zone_id
