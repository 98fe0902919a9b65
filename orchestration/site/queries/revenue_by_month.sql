/* What valid trips brought in, in USD, by service and month. */
select
    service,
    source_month as month,
    cast(sum(trips) as bigint) as trips,
    sum(total_usd) as total_usd,
    cast(sum(total_usd) as double precision) / sum(trips) as avg_total_usd,
    sum(driver_pay_usd) as driver_pay_usd,
    cast(extract(year from source_month) * 12 + extract(month from source_month) as bigint)
        - row_number() over (partition by service order by source_month) as stretch
from marts.monthly_service_summary
group by service, source_month
having sum(total_usd) is not null
order by service, source_month
