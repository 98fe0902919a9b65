/* TLC's taxi zones with their shapes. */
select zone_id, zone, borough, service_zone, is_airport, is_cbd, centroid_longitude, centroid_latitude, geometry
from marts.dim_zones
order by zone_id
