-- Grain: one vendor of yellow and green records.

with vendors as (

    select * from {{ ref('vendors') }}

)

select
    vendor_id,
    cast(vendor as varchar(50)) as vendor,
    cast(source as varchar(100)) as source
from vendors
