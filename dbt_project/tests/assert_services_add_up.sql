-- A row here is a month of which the companies do not add up to its valid trips, or the zones of
-- high-volume companies, or the pairs of zones, to more than them.

with companies as (

    select * from {{ ref('monthly_service_summary') }}

),

company_zones as (

    select * from {{ ref('fhvhv_service') }}

),

pairs as (

    select * from {{ ref('zone_pair_trips') }}
    where {{ is_to_be_tested(ref('zone_pair_trips')) }}

),

fact_counts as (

    select * from {{ ref('int_fact_counts') }}

),

counted as (

    select
        service,
        source_month,
        sum(valid_rows) as valid_trips,
        0 as trips_by_company,
        0 as trips_by_company_zone,
        0 as trips_by_pair
    from fact_counts
    group by service, source_month
    union all
    select
        service,
        source_month,
        0 as valid_trips,
        sum(trips) as trips_by_company,
        0 as trips_by_company_zone,
        0 as trips_by_pair
    from companies
    group by service, source_month
    union all
    select
        service,
        source_month,
        0 as valid_trips,
        0 as trips_by_company,
        sum(trips) as trips_by_company_zone,
        0 as trips_by_pair
    from company_zones
    group by service, source_month
    union all
    select
        service,
        source_month,
        0 as valid_trips,
        0 as trips_by_company,
        0 as trips_by_company_zone,
        sum(trips) as trips_by_pair
    from pairs
    group by service, source_month

),

by_month as (

    select
        service,
        source_month,
        sum(valid_trips) as valid_trips,
        sum(trips_by_company) as trips_by_company,
        sum(trips_by_company_zone) as trips_by_company_zone,
        sum(trips_by_pair) as trips_by_pair
    from counted
    group by service, source_month

)

select
    service,
    source_month,
    valid_trips,
    trips_by_company,
    trips_by_company_zone,
    trips_by_pair
from by_month
where
    trips_by_company <> valid_trips
    or trips_by_company_zone > valid_trips
    or trips_by_pair > valid_trips
