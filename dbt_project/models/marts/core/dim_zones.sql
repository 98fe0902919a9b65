-- Grain: one taxi zone.

with zones as (

    select * from {{ ref('stg_tlc__zones') }}

)

select
    zone_id,
    cast(zone_name as text) as zone,
    cast(borough as text) as borough,
    cast(service_zone as text) as service_zone
from zones
