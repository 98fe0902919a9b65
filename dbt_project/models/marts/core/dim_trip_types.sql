-- Grain: one trip type of green records.

with trip_types as (

    select * from {{ ref('trip_types') }}

)

select
    trip_type_id,
    cast(trip_type as {{ sql_type('text') }}) as trip_type,
    cast(source as {{ sql_type('text') }}) as source
from trip_types
