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
        cast(trips as double precision)
        / extract(day from source_month + interval '1 month' - interval '1 day') as trips_per_day
    from in_month

),

theirs_by_class as (

    select
        report_month as month,
        trips_per_day,
        case
            when lower(license_class) = 'yellow' then 'yellow'
            when lower(license_class) = 'green' then 'green'
            when lower(license_class) = 'fhv - high volume' and report_month >= date '2019-02-01'
                then 'fhvhv'
            -- until 2019-01 the FHV files held the high-volume trips too
            when lower(license_class) like 'fhv%' then 'fhv'
        end as service
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
        100 * (ours.trips_per_day - theirs.tlc_trips_per_day)
        / nullif(theirs.tlc_trips_per_day, 0) as diff_pct
    from ours
    left join theirs
        on
            ours.service = theirs.service
            and ours.month = theirs.month
    left join tolerances
        on
            ours.service = tolerances.service
            and ours.month >= tolerances.month_from
            and ours.month <= coalesce(tolerances.month_to, ours.month)
    left join divergences
        on
            ours.service = divergences.service
            and ours.month between divergences.month_from and divergences.month_to

)

select
    cast(service as text) as service,
    month,
    trips,
    trips_per_day,
    tlc_trips_per_day,
    diff_pct,
    tolerance_pct,
    known_divergence,
    cast(
        case
            when tlc_trips_per_day is null then 'not_reported'
            when abs(diff_pct) <= tolerance_pct then 'reconciled'
            when diff_pct between min_diff_pct and max_diff_pct then 'known_divergence'
            when tolerance_pct is null and known_divergence is null then 'not_assessed'
            else 'out_of_tolerance'
        end as text
    ) as status
from compared
