-- Grain: one base that is licensed now.

with bases as (

    select * from {{ source('nyc_open_data', 'fhv_bases') }}

)

select
    license_number as base_number,
    entity_name as base_name,
    type_of_base as base_type,
    city,
    state,
    postcode,
    latitude,
    longitude,
    file_key
from bases
