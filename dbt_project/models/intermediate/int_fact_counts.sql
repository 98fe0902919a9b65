-- Grain: one service, month, file version and outcome of the rules: a reason, or none if valid.

{{ config(materialized='by_month', built_from='fct_trips') }}

with trips as (

    select * from {{ ref('fct_trips') }}

)

select
    service,
    source_month,
    file_key,
    invalid_reason,
    count(*) as fact_rows,
    count(case when is_valid then 1 end) as valid_rows
from trips
group by service, source_month, file_key, invalid_reason
