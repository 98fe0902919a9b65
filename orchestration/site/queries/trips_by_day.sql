/* Valid trips by service and day of pickup: the newest 366 days that are loaded. */
select
    service,
    pickup_date as day,
    trips,
    cast(source_month as date) as month,
    cast(extract(isodow from pickup_date) as integer) as iso_day_of_week
from marts.daily_trips
where pickup_date > (select max(pickup_date) - 366 from marts.daily_trips)
order by service, pickup_date
