-- Grain: one month and licence class of TLC's monthly report.

with report as (

    select * from {{ source('tlc', 'monthly_report') }}

)

select
    cast(month_year || '-01' as date) as report_month,
    license_class,
    -- numbers are written 1,234 and a dash stands for none
    cast(nullif(replace(trim(trips_per_day), ',', ''), '-') as double precision) as trips_per_day,
    cast(nullif(replace(trim(farebox_per_day), ',', ''), '-') as double precision)
        as farebox_usd_per_day,
    cast(nullif(replace(trim(avg_minutes_per_trip), ',', ''), '-') as double precision)
        as avg_minutes_per_trip
from report
