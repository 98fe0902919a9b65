-- Grain: one day of the weather in Central Park, from the source that has it.

with asked as (

    select * from {{ ref('stg_weather__central_park_daily') }}

),

in_a_file as (

    select * from {{ ref('stg_weather_csv__central_park_weather') }}

),

-- the API is first: it is asked again for what NOAA corrects
days as (

    select * from asked
    union all
    select in_a_file.*
    from in_a_file
    left join asked on in_a_file.weather_date = asked.weather_date
    where asked.weather_date is null

)

select
    weather_date,
    wind_mph,
    precipitation_inches,
    snowfall_inches,
    snow_depth_inches,
    max_temperature_f,
    min_temperature_f,
    file_key
from days
