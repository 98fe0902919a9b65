-- Grain: one day, from TLC's first published month on.

with days as (

    {{ dbt.date_spine('day', "cast('2009-01-01' as date)", "cast('2036-01-01' as date)") }}

)

select
    cast(date_day as date) as date_day,
    cast({{ dbt.date_trunc('month', 'date_day') }} as date) as month_start,
    cast(extract(year from date_day) as integer) as year_number,
    cast(extract(quarter from date_day) as integer) as quarter_number,
    cast(extract(month from date_day) as integer) as month_number,
    cast(extract(day from date_day) as integer) as day_of_month,
    -- 1 is Monday, 7 is Sunday
    cast(extract(isodow from date_day) as integer) as iso_day_of_week,
    extract(isodow from date_day) in (6, 7) as is_weekend
from days
