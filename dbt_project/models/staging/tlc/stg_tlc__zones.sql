-- Grain: one taxi zone.

with zones as (

    select * from {{ source('tlc', 'taxi_zone_lookup') }}

)

select
    cast(trim(locationid) as integer) as zone_id,
    trim(zone) as zone_name,
    trim(borough) as borough,
    trim(service_zone) as service_zone
from zones
