-- A row here is a month of which the days do not add up to its valid trips: a trip was left out of
-- daily_trips, counted twice, counted in another month, or counted when its month was gone.

with days as (

    select * from {{ ref('daily_trips') }}

),

fact_counts as (

    select * from {{ ref('int_fact_counts') }}

),

by_days as (

    select
        service,
        source_month,
        sum(trips) as trips
    from days
    group by service, source_month

),

by_facts as (

    select
        service,
        source_month,
        sum(valid_rows) as trips
    from fact_counts
    group by service, source_month

)

select
    by_facts.trips as valid_trips,
    by_days.trips as trips_by_day,
    coalesce(by_facts.service, by_days.service) as service,
    coalesce(by_facts.source_month, by_days.source_month) as source_month
from by_facts
full outer join by_days
    on
        by_facts.service = by_days.service
        and by_facts.source_month = by_days.source_month
where coalesce(by_facts.trips, 0) <> coalesce(by_days.trips, 0)
