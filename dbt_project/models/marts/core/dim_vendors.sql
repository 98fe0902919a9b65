-- Grain: one vendor of yellow and green records.

with vendors as (

    select * from {{ ref('vendors') }}

)

select
    vendor_id,
    cast(vendor as text) as vendor,
    cast(source as text) as source
from vendors
