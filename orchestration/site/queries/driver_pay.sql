/* Driver pay of high-volume trips by company and month: for an hour with a passenger, and as a share of fares. */
select
    companies.company,
    fhvhv.service,
    fhvhv.source_month as month,
    cast(sum(fhvhv.driver_pay_usd) as double precision) / nullif(sum(fhvhv.driver_hours), 0) as usd_per_hour,
    cast(sum(fhvhv.driver_pay_usd) as double precision) / nullif(sum(fhvhv.fare_usd), 0) as share_of_fares,
    cast(extract(year from fhvhv.source_month) * 12 + extract(month from fhvhv.source_month) as bigint)
        - row_number() over (partition by companies.company order by fhvhv.source_month) as stretch
from marts.fhvhv_service as fhvhv
inner join marts.dim_companies as companies on fhvhv.company_id = companies.company_id
group by companies.company, fhvhv.service, fhvhv.source_month
order by companies.company, fhvhv.source_month
