/* Trips from each zone and what they brought in, in USD, by month, of one service. */
select pickup_zone_id as zone_id, source_month as month, trips, total_usd
from marts.monthly_zone_revenue
where service = ? and pickup_zone_id is not null
order by source_month, pickup_zone_id
