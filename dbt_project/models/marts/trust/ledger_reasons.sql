-- Grain: one file version in use and one reason why rows of it are not valid.

with files as (

    select * from {{ ref('stg_tlc__files') }}
    where is_current

),

fact_counts as (

    select * from {{ ref('int_fact_counts') }}
    where invalid_reason is not null

)

select
    cast(files.file_id as {{ sql_type('text') }}) as file_id,
    cast(files.dataset as {{ sql_type('text') }}) as dataset,
    files.source_month as month,
    cast(fact_counts.invalid_reason as {{ sql_type('text') }}) as invalid_reason,
    cast(fact_counts.fact_rows as bigint) as invalid_rows
from fact_counts
inner join files
    on
        fact_counts.service = files.dataset
        and fact_counts.source_month = files.source_month
        and fact_counts.file_key = files.file_key
