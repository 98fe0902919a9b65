-- Grain: one taxi zone of NYC Open Data, which is one outline.

with zones as (

    select * from {{ source('nyc_open_data', 'nyc_taxi_zones') }}

)

select
    -- the number by which trips go: location_id is 56 for two zones, and 103 for three
    objectid as zone_id,
    zone as zone_name,
    borough,
    shape_leng as perimeter_degrees,
    shape_area as area_square_degrees,
    the_geom as geometry,
    file_key,
    -- the table spells it in one word, the map in two
    coalesce(locationid, location_id) as location_id
from zones
