-- Grain: one payment type of yellow and green records.

with payment_types as (

    select * from {{ ref('payment_types') }}

)

select
    payment_type_id,
    cast(payment_type as {{ sql_type('text') }}) as payment_type,
    cast(source as {{ sql_type('text') }}) as source
from payment_types
