/* Fares and tips of trips from each zone that were paid by card, in USD, by month, of one service. */
select pickup_zone_id as zone_id, source_month as month, card_fare_usd, card_tip_usd
from marts.tip_shares
where service = ? and pickup_zone_id is not null
order by source_month, pickup_zone_id
