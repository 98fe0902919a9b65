-- Grain: one service and month that we hold, beside what TLC's monthly report says of it.

with fact_counts as (

    select * from {{ ref('int_fact_counts') }}

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

-- TLC counts the rows whose pickup lies in the month, whatever else is wrong with them
in_month as (

    select
        service,
        source_month,
        cast(
            sum(
                case
                    when
                        coalesce(invalid_reason, '')
                        not in ('missing_pickup_time', 'pickup_outside_month')
                        then fact_rows
                    else 0
                end
            ) as bigint
        ) as trips
    from fact_counts
    group by service, source_month

),

ours as (

    select
        service,
        source_month as month,
        trips,
        cast(trips as {{ sql_type('double precision') }})
        / extract(day from source_month + interval '1 month' - interval '1 day') as trips_per_day
    from in_month

),

theirs_by_class as (

    select
        report_month as month,
        trips_per_day,
        {{ report_service('license_class', 'report_month') }} as service
    from report

),

theirs as (

    select
        service,
        month,
        sum(trips_per_day) as tlc_trips_per_day
    from theirs_by_class
    where service is not null
    group by service, month

),

compared as (

    select
        ours.service,
        ours.month,
        ours.trips,
        ours.trips_per_day,
        theirs.tlc_trips_per_day,
        tolerances.tolerance_pct,
        divergences.min_diff_pct,
        divergences.max_diff_pct,
        divergences.reason as known_divergence,
        {{ difference_pct('ours.trips_per_day', 'theirs.tlc_trips_per_day') }} as diff_pct
    from ours
    left join theirs
        on
            ours.service = theirs.service
            and ours.month = theirs.month
    {{ join_reviewed('ours', "'trips_per_day'") }}

)

select
    cast(service as {{ sql_type('text') }}) as service,
    month,
    trips,
    trips_per_day,
    tlc_trips_per_day,
    diff_pct,
    tolerance_pct,
    known_divergence,
    cast(
        case
            -- the report gives whole trips: what is less than half of one is no difference
            when abs(trips_per_day - tlc_trips_per_day) < 0.5 then 'reconciled'
            else {{ reconciliation_status('tlc_trips_per_day') }}
        end as {{ sql_type('text') }}
    ) as status
from compared
