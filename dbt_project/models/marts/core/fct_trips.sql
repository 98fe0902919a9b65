-- Grain: one row of a published trip file; every row is here, valid or flagged with its reason.

{{ config(materialized='by_month', datasets=trip_services(), partitioned=true) }}

with trips as (

    select * from {{ ref('int_trips_validated') }}

)

select
    {{ trip_columns() | join(',\n    ') }},
    invalid_reason,
    invalid_reason is null as is_valid
from trips
