/* Miles an hour and trips a day inside and outside the congestion relief zone, by service and month. */
select
    service,
    source_month as month,
    is_cbd,
    cast(sum(trips) as bigint) as trips,
    cast(sum(trips) as double precision) / count(distinct pickup_date) as trips_per_day,
    sum(measured_miles) / nullif(sum(measured_hours), 0) as miles_per_hour,
    sum(cbd_congestion_fee_usd) as fees_usd,
    cast(extract(year from source_month) * 12 + extract(month from source_month) as bigint)
        - row_number() over (partition by service, is_cbd order by source_month) as stretch
from marts.congestion_pricing
group by service, source_month, is_cbd
order by service, source_month, is_cbd
