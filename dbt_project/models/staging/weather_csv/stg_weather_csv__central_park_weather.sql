-- Grain: one day of the weather in Central Park, from NOAA's CSV file.

with days as (

    select * from {{ source('weather_csv', 'central_park_weather') }}

)

select
    cast(date as date) as weather_date,
    station as station_id,
    name as station_name,
    awnd as wind_mph,
    prcp as precipitation_inches,
    snow as snowfall_inches,
    snwd as snow_depth_inches,
    tmax as max_temperature_f,
    tmin as min_temperature_f,
    source_month,
    file_key
from days
