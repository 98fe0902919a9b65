-- Grain: one service, month that we hold and measure of TLC's monthly report but its trips per day.

{% set double = sql_type('double precision') -%}

with report_counts as (

    select * from {{ ref('int_report_counts') }}

),

report as (

    select * from {{ ref('stg_tlc__monthly_report') }}

),

tolerances as (

    select * from {{ ref('reconciliation_tolerances') }}

),

divergences as (

    select * from {{ ref('known_divergences') }}

),

counts as (

    select
        service,
        source_month as month,
        sum(trips) as trips,
        sum(shared_trips) as shared_trips,
        sum(timed_trips) as timed_trips,
        sum(timed_seconds) as timed_seconds,
        sum(card_trips) as card_trips,
        sum(payment_unknown_trips) as payment_unknown_trips
    from report_counts
    group by service, source_month

),

ours as (

    select
        service,
        month,
        'avg_minutes_per_trip' as measure,
        cast(timed_seconds as {{ double }}) / nullif(timed_trips, 0) / 60 as figure
    from counts
    union all
    -- TLC counts the trips of which nobody recorded how they were paid as paid by card, cut off
    select
        service,
        month,
        'pct_paid_by_card' as measure,
        floor(100 * cast(card_trips + payment_unknown_trips as {{ double }}) / trips)
            as figure
    from counts
    where service in ('yellow', 'green')
    union all
    select
        service,
        month,
        'shared_trips_per_day' as measure,
        cast(shared_trips as {{ double }})
        / extract(day from month + interval '1 month' - interval '1 day') as figure
    from counts
    where service in ('fhv', 'fhvhv')

),

classes as (

    select
        *,
        report_month as month,
        {{ report_service('license_class', 'report_month') }} as service
    from report

),

-- several classes are of one service: averages are weighted by their trips
totals as (

    select
        service,
        month,
        sum(shared_trips_per_day) as shared_trips_per_day,
        {{ weighted_average('avg_minutes_per_trip', 'trips_per_day') }} as avg_minutes_per_trip,
        {{ weighted_average('pct_paid_by_card', 'trips_per_day') }} as pct_paid_by_card
    from classes
    where service is not null
    group by service, month

),

compared as (

    select
        ours.service,
        ours.month,
        ours.measure,
        ours.figure,
        tolerances.tolerance_pct,
        divergences.min_diff_pct,
        divergences.max_diff_pct,
        divergences.reason as known_divergence,
        case ours.measure
            when 'avg_minutes_per_trip' then totals.avg_minutes_per_trip
            when 'pct_paid_by_card' then totals.pct_paid_by_card
            when 'shared_trips_per_day' then totals.shared_trips_per_day
        end as tlc_figure
    from ours
    left join totals
        on
            ours.service = totals.service
            and ours.month = totals.month
    {{ join_reviewed('ours', 'ours.measure') }}

),

differing as (

    select
        *,
        {{ difference_pct('figure', 'tlc_figure') }} as diff_pct
    from compared

)

select
    cast(service as {{ sql_type('text') }}) as service,
    month,
    cast(measure as {{ sql_type('text') }}) as measure,
    figure,
    tlc_figure,
    diff_pct,
    tolerance_pct,
    cast(known_divergence as {{ sql_type('text') }}) as known_divergence,
    cast({{ reconciliation_status('tlc_figure') }} as {{ sql_type('text') }}) as status
from differing
