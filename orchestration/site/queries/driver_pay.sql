/* Driver pay of high-volume trips by company and month: for an hour with a passenger, of trips with a duration
that counts, and as a share of fares, of trips with driver pay. */
with cars as (
    select
        company_id,
        service,
        source_month,
        driver_hours,
        driver_pay_usd,
        driver_pay_per_hour_usd * driver_hours as pay_of_hours_usd,
        -- the fares that platform_share is of; a share of 1 is of trips whose pay comes to 0
        case
            when platform_share <> 1 then driver_pay_usd / (1 - platform_share)
            when platform_share = 1 then fare_usd
        end as fare_of_paid_usd
    from marts.fhvhv_service
)

select
    companies.company,
    cars.service,
    cars.source_month as month,
    sum(cars.pay_of_hours_usd) / nullif(sum(cars.driver_hours), 0) as usd_per_hour,
    cast(sum(cars.driver_pay_usd) as double precision) / nullif(sum(cars.fare_of_paid_usd), 0) as share_of_fares,
    cast(extract(year from cars.source_month) * 12 + extract(month from cars.source_month) as bigint)
        - row_number() over (partition by companies.company order by cars.source_month) as stretch
from cars
inner join marts.dim_companies as companies on cars.company_id = companies.company_id
group by companies.company, cars.service, cars.source_month
order by companies.company, cars.source_month
