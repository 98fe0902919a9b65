-- Grain: one file version in use; it balances when file rows = raw rows = fact rows.

with files as (

    select * from {{ ref('stg_tlc__files') }}
    where
        is_current
        and source_month is not null

),

raw_counts as (

    select * from {{ ref('int_raw_counts') }}

),

fact_counts as (

    select * from {{ ref('int_fact_counts') }}

),

raw_rows as (

    select
        service,
        source_month,
        file_key,
        sum(raw_rows) as raw_rows
    from raw_counts
    group by service, source_month, file_key

),

fact_rows as (

    select
        service,
        source_month,
        file_key,
        sum(fact_rows) as fact_rows,
        sum(valid_rows) as valid_rows
    from fact_counts
    group by service, source_month, file_key

),

-- what is not counted anywhere has no rows, which is also right for a file without any
counted as (

    select
        files.file_id,
        files.dataset,
        files.source_month,
        files.file_rows,
        coalesce(raw_rows.raw_rows, 0) as raw_rows,
        coalesce(fact_rows.fact_rows, 0) as fact_rows,
        coalesce(fact_rows.valid_rows, 0) as valid_rows
    from files
    left join raw_rows
        on
            files.dataset = raw_rows.service
            and files.source_month = raw_rows.source_month
            and files.file_key = raw_rows.file_key
    left join fact_rows
        on
            files.dataset = fact_rows.service
            and files.source_month = fact_rows.source_month
            and files.file_key = fact_rows.file_key

)

select
    cast(file_id as text) as file_id,
    cast(dataset as text) as dataset,
    source_month as month,
    file_rows,
    cast(raw_rows as bigint) as raw_rows,
    cast(fact_rows as bigint) as fact_rows,
    cast(valid_rows as bigint) as valid_rows,
    cast(fact_rows - valid_rows as bigint) as invalid_rows,
    coalesce(file_rows = raw_rows and raw_rows = fact_rows, false) as is_balanced
from counted
