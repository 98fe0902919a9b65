-- Grain: one rate code of yellow and green records.

with rate_codes as (

    select * from {{ ref('rate_codes') }}

)

select
    rate_code_id,
    cast(rate_code as varchar(50)) as rate_code,
    cast(source as varchar(100)) as source
from rate_codes
