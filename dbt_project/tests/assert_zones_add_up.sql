-- A row here is a month of which the trips by zone and hour and those by zone do not add up to the
-- same, or to more than its valid trips: both leave out trips without a zone, and no others. A
-- build looks at the months that are new in one of the two.

with hours as (

    select * from {{ ref('hourly_zone_demand') }}
    where
        {{ is_to_be_tested(ref('hourly_zone_demand')) }}
        or {{ is_to_be_tested(ref('monthly_zone_revenue')) }}

),

zones as (

    select * from {{ ref('monthly_zone_revenue') }}
    where
        {{ is_to_be_tested(ref('hourly_zone_demand')) }}
        or {{ is_to_be_tested(ref('monthly_zone_revenue')) }}

),

fact_counts as (

    select * from {{ ref('int_fact_counts') }}

),

by_hours as (

    select
        service,
        source_month,
        sum(trips) as trips
    from hours
    group by service, source_month

),

by_zones as (

    select
        service,
        source_month,
        sum(trips) as trips
    from zones
    group by service, source_month

),

by_facts as (

    select
        service,
        source_month,
        sum(valid_rows) as trips
    from fact_counts
    group by service, source_month

),

by_either as (

    select
        coalesce(by_hours.service, by_zones.service) as service,
        coalesce(by_hours.source_month, by_zones.source_month) as source_month,
        coalesce(by_hours.trips, 0) as trips_by_hour,
        coalesce(by_zones.trips, 0) as trips_by_zone
    from by_hours
    full outer join by_zones
        on
            by_hours.service = by_zones.service
            and by_hours.source_month = by_zones.source_month

)

select
    by_either.service,
    by_either.source_month,
    by_either.trips_by_hour,
    by_either.trips_by_zone,
    by_facts.trips as valid_trips
from by_either
left join by_facts
    on
        by_either.service = by_facts.service
        and by_either.source_month = by_facts.source_month
where
    by_either.trips_by_hour <> by_either.trips_by_zone
    or by_either.trips_by_hour > coalesce(by_facts.trips, 0)
