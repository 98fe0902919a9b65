-- Grain: one service, month and pickup zone; valid taxi trips paid by card only.

{{ config(materialized='by_month', built_from='fct_trips') }}

with trips as (

    select * from {{ ref('fct_trips') }}
    where
        is_valid
        -- no tip in cash is recorded
        and service in ('yellow', 'green')
        and payment_type_id = 1
        and pickup_zone_id is not null

),

summed as (

    select
        service,
        source_month,
        pickup_zone_id,
        count(*) as card_trips,
        count(case when tip_usd > 0 then 1 end) as tipped_card_trips,
        {{ as_usd('sum(fare_usd)') }} as card_fare_usd,
        {{ as_usd('sum(tip_usd)') }} as card_tip_usd,
        {{ as_usd('sum(total_usd)') }} as card_total_usd,
        -- a fare below a cent is none, and a share of it has no end
        {{ rounded_median(
            'case when fare_usd >= 0.01 then ' ~ quotient('tip_usd', 'fare_usd') ~ ' end', 6
        ) }}
            as median_card_tip_share
    from trips
    group by service, source_month, pickup_zone_id

)

select
    service,
    source_month,
    pickup_zone_id,
    card_trips,
    tipped_card_trips,
    card_fare_usd,
    card_tip_usd,
    card_total_usd,
    median_card_tip_share,
    cast(card_tip_usd as {{ sql_type('double precision') }})
    / nullif(cast(card_fare_usd as {{ sql_type('double precision') }}), 0) as card_tip_share
from summed
