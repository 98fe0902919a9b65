-- Grain: one service and month that we hold and base, or high-volume company of whose bases the
-- FHV Base Aggregate Report gives one figure.

with report_counts as (

    select * from {{ ref('int_report_counts') }}
    where service in ('fhv', 'fhvhv')

),

report as (

    select * from {{ ref('stg_nyc_open_data__fhv_base_report') }}

),

bases as (

    select * from {{ ref('dim_bases') }}

),

companies as (

    select
        company_id,
        upper(company) as reported_as
    from {{ ref('companies') }}

),

tolerances as (

    select * from {{ ref('reconciliation_tolerances') }}

),

divergences as (

    select * from {{ ref('known_divergences') }}

),

reported_companies as (

    select
        report.report_month,
        companies.company_id,
        companies.reported_as
    from report
    inner join companies on report.base_number = companies.reported_as

),

counts as (

    select
        report_counts.service,
        report_counts.source_month as month,
        report_counts.trips,
        report_counts.shared_trips,
        coalesce(nullif(upper(trim(report_counts.dispatching_base_num)), ''), 'NONE')
            as base_number,
        -- until 2019-01 the FHV files held the trips of these companies too; what they have of
        -- their bases since is no high-volume trip
        case
            when report_counts.service = 'fhv' and report_counts.source_month < date '2019-02-01'
                then bases.company_id
            else report_counts.company_id
        end as company_id
    from report_counts
    left join bases on upper(trim(report_counts.dispatching_base_num)) = bases.base_number

),

ours as (

    select
        counts.service,
        counts.month,
        cast(sum(counts.trips) as bigint) as trips,
        cast(sum(counts.shared_trips) as bigint) as shared_trips,
        coalesce(reported_companies.reported_as, counts.base_number) as base_number
    from counts
    left join reported_companies
        on
            counts.month = reported_companies.report_month
            and counts.company_id = reported_companies.company_id
    group by
        counts.service, counts.month, coalesce(reported_companies.reported_as, counts.base_number)

),

theirs as (

    select
        report.report_month as month,
        report.base_number,
        report.trips,
        report.shared_trips,
        report.vehicles,
        case
            when
                report.report_month >= date '2019-02-01'
                and coalesce(companies.company_id, bases.company_id) is not null
                then 'fhvhv'
            else 'fhv'
        end as service
    from report
    left join companies on report.base_number = companies.reported_as
    left join bases on report.base_number = bases.base_number

),

paired as (

    select
        ours.trips,
        ours.shared_trips,
        theirs.trips as tlc_trips,
        theirs.shared_trips as tlc_shared_trips,
        theirs.vehicles as tlc_vehicles,
        coalesce(ours.month, theirs.month) as month,
        coalesce(ours.base_number, theirs.base_number) as base_number,
        coalesce(ours.service, theirs.service) as service
    from ours
    full outer join theirs
        on
            ours.service = theirs.service
            and ours.month = theirs.month
            and ours.base_number = theirs.base_number

),

-- none where nobody asked for the report
months_held as (

    select distinct
        service,
        source_month
    from report_counts
    where (select count(*) from report) > 0

),

compared as (

    select
        paired.service,
        paired.month,
        paired.base_number,
        paired.tlc_trips,
        paired.tlc_shared_trips,
        paired.tlc_vehicles,
        tolerances.tolerance_pct,
        divergences.min_diff_pct,
        divergences.max_diff_pct,
        divergences.reason as known_divergence,
        coalesce(paired.trips, 0) as trips,
        coalesce(paired.shared_trips, 0) as shared_trips,
        {{ difference_pct('coalesce(paired.trips, 0)', 'paired.tlc_trips') }} as diff_pct
    from paired
    inner join months_held
        on
            paired.service = months_held.service
            and paired.month = months_held.source_month
    {{ join_reviewed('paired', "'trips_by_base'") }}

)

select
    cast(service as {{ sql_type('text') }}) as service,
    month,
    cast(base_number as {{ sql_type('text') }}) as base_number,
    trips,
    tlc_trips,
    shared_trips,
    tlc_shared_trips,
    tlc_vehicles,
    diff_pct,
    tolerance_pct,
    cast(known_divergence as {{ sql_type('text') }}) as known_divergence,
    cast({{ reconciliation_status('tlc_trips') }} as {{ sql_type('text') }}) as status
from compared
