-- Grain: one vendor of yellow and green records.

with vendors as (

    select * from {{ ref('vendors') }}

)

select
    vendor_id,
    cast(vendor as {{ sql_type('text') }}) as vendor,
    cast(source as {{ sql_type('text') }}) as source
from vendors
