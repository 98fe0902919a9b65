-- Grain: one payment type of yellow and green records.

with payment_types as (

    select * from {{ ref('payment_types') }}

)

select
    payment_type_id,
    cast(payment_type as varchar(50)) as payment_type,
    cast(source as varchar(100)) as source
from payment_types
