/* Trips from each zone by hour of the week (0 is Monday, 00:00 to 01:00), of one service and year. */
select
    pickup_zone_id as zone_id,
    cast((extract(isodow from pickup_hour) - 1) * 24 + extract(hour from pickup_hour) as integer) as week_hour,
    cast(sum(trips) as bigint) as trips
from marts.hourly_zone_demand
where service = ? and source_month between ? and ? and pickup_zone_id is not null
group by 1, 2
order by 1, 2
