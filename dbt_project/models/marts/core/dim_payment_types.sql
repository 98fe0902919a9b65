-- Grain: one payment type of yellow and green records.

with payment_types as (

    select * from {{ ref('payment_types') }}

)

select
    payment_type_id,
    cast(payment_type as text) as payment_type,
    cast(source as text) as source
from payment_types
