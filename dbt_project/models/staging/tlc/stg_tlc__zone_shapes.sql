-- Grain: one shape of TLC's shapefile, which is one zone.

with shapes as (

    select * from {{ source('tlc', 'taxi_zone_shapes') }}

)

select
    -- TLC's LocationID is 56 and 103 for several shapes; the trips, and the lookup, go by OBJECTID
    cast(objectid as integer) as zone_id,
    zone as zone_name,
    borough,
    centroid_longitude,
    centroid_latitude,
    geometry,
    geometry_simplified
from shapes
