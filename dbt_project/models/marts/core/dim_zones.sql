-- Grain: one taxi zone.

with zones as (

    select * from {{ ref('stg_tlc__zones') }}

),

shapes as (

    select * from {{ ref('stg_tlc__zone_shapes') }}

),

zone_groups as (

    select * from {{ ref('zone_groups') }}

)

select
    zones.zone_id,
    cast(zones.zone_name as {{ sql_type('text') }}) as zone,
    cast(zones.borough as {{ sql_type('text') }}) as borough,
    cast(zones.service_zone as {{ sql_type('text') }}) as service_zone,
    shapes.centroid_longitude,
    shapes.centroid_latitude,
    cast(shapes.geometry_simplified as {{ sql_type('text') }}) as geometry,
    coalesce(zone_groups.is_airport, false) as is_airport,
    coalesce(zone_groups.is_cbd, false) as is_cbd
from zones
left join zone_groups on zones.zone_id = zone_groups.zone_id
left join shapes on zones.zone_id = shapes.zone_id
