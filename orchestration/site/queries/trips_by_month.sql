/* Valid trips a day by service and month; a stretch is a run of months without a gap. */
with months as (
    select service, source_month as month, sum(trips) as trips
    from marts.monthly_service_summary
    group by service, source_month
),

days as (
    select month_start as month, count(*) as days
    from marts.dim_dates
    group by month_start
)

select
    months.service,
    months.month,
    cast(months.trips as bigint) as trips,
    cast(months.trips as double precision) / days.days as trips_per_day,
    cast(extract(year from months.month) * 12 + extract(month from months.month) as bigint)
        - row_number() over (partition by months.service order by months.month) as stretch
from months
inner join days on months.month = days.month
order by months.service, months.month
