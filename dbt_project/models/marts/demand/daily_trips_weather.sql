-- Grain: one service and day of pickup, with the weather and the holidays of the day.

with days as (

    select * from {{ ref('daily_trips') }}

),

dates as (

    select * from {{ ref('dim_dates') }}

)

select
    days.service,
    days.pickup_date,
    days.trips,
    days.avg_trip_miles,
    days.timed_trips,
    days.avg_trip_minutes,
    days.total_usd,
    dates.iso_day_of_week,
    dates.is_weekend,
    dates.holiday,
    dates.precipitation_inches,
    dates.snowfall_inches,
    dates.snow_depth_inches,
    dates.max_temperature_f,
    dates.min_temperature_f,
    dates.wind_mph
from days
left join dates on days.pickup_date = dates.date_day
