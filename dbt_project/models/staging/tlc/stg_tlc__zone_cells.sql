-- Grain: one zone and cell that lies whole in it, or edge of the zone's part of the cell.

with cells as (

    select * from {{ source('tlc', 'taxi_zone_cells') }}

)

select
    cast(objectid as integer) as zone_id,
    cast(cell_x as integer) as cell_x,
    cast(cell_y as integer) as cell_y,
    longitude_1,
    latitude_1,
    longitude_2,
    latitude_2,
    longitude_1 is null as is_whole
from cells
