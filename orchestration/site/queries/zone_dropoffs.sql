/* Trips to each zone by month, of one service. */
select dropoff_zone_id as zone_id, source_month as month, cast(sum(trips) as bigint) as trips
from marts.hourly_zone_dropoffs
where service = ? and dropoff_zone_id is not null
group by dropoff_zone_id, source_month
order by source_month, dropoff_zone_id
