-- Grain: one rate code of yellow and green records.

with rate_codes as (

    select * from {{ ref('rate_codes') }}

)

select
    rate_code_id,
    cast(rate_code as {{ sql_type('text') }}) as rate_code,
    cast(source as {{ sql_type('text') }}) as source
from rate_codes
