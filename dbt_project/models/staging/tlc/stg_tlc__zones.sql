-- Grain: one taxi zone.

with zones as (

    select * from {{ source('tlc', 'taxi_zone_lookup') }}

)

select
    cast(trim(locationid) as integer) as zone_id,
    zone as zone_name,
    borough,
    service_zone
from zones
