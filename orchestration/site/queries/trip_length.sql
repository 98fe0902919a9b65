/* Average miles and minutes of a trip by service and month. */
select
    service,
    source_month as month,
    sum(trip_miles) / sum(trips) as avg_miles,
    sum(avg_trip_minutes * timed_trips) / sum(timed_trips) as avg_minutes,
    cast(extract(year from source_month) * 12 + extract(month from source_month) as bigint)
        - row_number() over (partition by service order by source_month) as stretch
from marts.monthly_service_summary
group by service, source_month
order by service, source_month
