-- Grain: one day, from TLC's first published month on.

with days as (

    {{ dbt.date_spine('day', "cast('2009-01-01' as date)", "cast('2036-01-01' as date)") }}

),

holidays as (

    select * from {{ ref('holidays') }}

),

weather as (

    select * from {{ ref('int_weather_days') }}

),

dates as (

    select cast(date_day as date) as date_day
    from days

)

select
    dates.date_day,
    cast({{ dbt.date_trunc('month', 'dates.date_day') }} as date) as month_start,
    cast(extract(year from dates.date_day) as integer) as year_number,
    cast(extract(quarter from dates.date_day) as integer) as quarter_number,
    cast(extract(month from dates.date_day) as integer) as month_number,
    cast(extract(day from dates.date_day) as integer) as day_of_month,
    -- 1 is Monday, 7 is Sunday
    cast({{ iso_day_of_week('dates.date_day') }} as integer) as iso_day_of_week,
    {{ iso_day_of_week('dates.date_day') }} in (6, 7) as is_weekend,
    cast(holidays.holiday as {{ sql_type('text') }}) as holiday,
    coalesce(holidays.is_federal_holiday, false) as is_federal_holiday,
    coalesce(holidays.is_new_york_holiday, false) as is_new_york_holiday,
    weather.precipitation_inches,
    weather.snowfall_inches,
    weather.snow_depth_inches,
    weather.max_temperature_f,
    weather.min_temperature_f,
    weather.wind_mph
from dates
left join holidays on dates.date_day = holidays.date_day
left join weather on dates.date_day = weather.weather_date
