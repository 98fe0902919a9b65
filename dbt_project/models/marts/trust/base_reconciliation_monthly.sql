-- Grain: one service of for-hire vehicles and month that we hold, beside the bases of TLC's report.

with bases as (

    select * from {{ ref('base_reconciliation') }}

),

tolerances as (

    select * from {{ ref('reconciliation_tolerances') }}

),

divergences as (

    select * from {{ ref('known_divergences') }}

),

months as (

    select
        service,
        month,
        cast(sum(trips) as bigint) as trips,
        cast(sum(tlc_trips) as bigint) as tlc_trips,
        cast(sum(case when tlc_trips is null then trips else 0 end) as bigint)
            as unreported_base_trips,
        count(case when trips > 0 then 1 end) as bases,
        count(tlc_trips) as tlc_bases
    from bases
    group by service, month

),

compared as (

    select
        months.*,
        tolerances.tolerance_pct,
        divergences.min_diff_pct,
        divergences.max_diff_pct,
        divergences.reason as known_divergence,
        {{ difference_pct('months.trips', 'months.tlc_trips') }} as diff_pct
    from months
    {{ join_reviewed('months', "'trips_of_all_bases'") }}

)

select
    cast(service as {{ sql_type('text') }}) as service,
    month,
    trips,
    tlc_trips,
    unreported_base_trips,
    bases,
    tlc_bases,
    diff_pct,
    tolerance_pct,
    cast(known_divergence as {{ sql_type('text') }}) as known_divergence,
    cast({{ reconciliation_status('tlc_trips') }} as {{ sql_type('text') }}) as status
from compared
