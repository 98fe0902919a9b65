-- Grain: one taxi zone.

with zones as (

    select * from {{ ref('stg_tlc__zones') }}

)

select
    zone_id,
    cast(zone_name as varchar(100)) as zone,
    cast(borough as varchar(50)) as borough,
    cast(service_zone as varchar(50)) as service_zone
from zones
