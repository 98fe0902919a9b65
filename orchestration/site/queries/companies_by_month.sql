/* Valid trips a day by high-volume company and month. */
with days as (
    select month_start as month, count(*) as days
    from marts.dim_dates
    group by month_start
)

select
    companies.company,
    summary.service,
    summary.source_month as month,
    summary.trips,
    cast(summary.trips as double precision) / days.days as trips_per_day,
    cast(extract(year from summary.source_month) * 12 + extract(month from summary.source_month) as bigint)
        - row_number() over (partition by summary.company_id order by summary.source_month) as stretch
from marts.monthly_service_summary as summary
inner join marts.dim_companies as companies on summary.company_id = companies.company_id
inner join days on summary.source_month = days.month
order by companies.company, summary.source_month
