/* Trips from each zone by hour of the week (0 is Monday, 00:00 to 01:00), by year, of one service. */
select
    pickup_zone_id as zone_id,
    cast(extract(year from source_month) as integer) as year,
    cast((extract(isodow from pickup_hour) - 1) * 24 + extract(hour from pickup_hour) as integer) as week_hour,
    cast(sum(trips) as bigint) as trips
from marts.hourly_zone_demand
where service = ? and pickup_zone_id is not null
group by 1, 2, 3
order by 2, 1, 3
