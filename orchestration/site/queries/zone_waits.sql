/* Minutes from request to pickup of trips from each zone, by month, of one service. */
select
    pickup_zone_id as zone_id,
    source_month as month,
    cast(sum(waited_trips) as bigint) as waited_trips,
    sum(avg_wait_minutes * waited_trips) as wait_minutes
from marts.fhvhv_service
where service = ? and pickup_zone_id is not null and waited_trips > 0
group by pickup_zone_id, source_month
order by source_month, pickup_zone_id
