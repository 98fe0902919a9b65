/* Congestion relief fees in USD by service and month. */
select
    service,
    source_month as month,
    sum(cbd_congestion_fee_usd) as fees_usd,
    cast(sum(fee_trips) as bigint) as fee_trips
from marts.congestion_pricing
group by service, source_month
having sum(cbd_congestion_fee_usd) > 0
order by service, source_month
