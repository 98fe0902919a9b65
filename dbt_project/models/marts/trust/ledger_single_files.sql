-- Grain: one published file that belongs to no month, by its version in use, or where it has none
-- by the newest, which is missing. It balances when file rows = raw rows. It has the columns of the
-- ledger; no facts are made of it, so those of facts are null, and so is the month.

with versions as (

    select
        *,
        regexp_replace(table_name, '__[0-9a-f]+$', '') as published_file
    from {{ ref('stg_tlc__files') }}
    where source_month is null

),

in_use as (

    select * from versions
    where is_current

),

missing as (

    select
        *,
        coalesce(error, 'it is not loaded') as reason
    from versions
    where
        is_newest
        and not is_current

),

files as (

    select
        in_use.file_id,
        in_use.file_key,
        in_use.dataset,
        in_use.table_name,
        in_use.file_rows,
        missing.file_id as missing_file_id,
        case
            when missing.file_id is not null then missing.reason
            when not in_use.is_newest then 'a newer version was landed and is not loaded'
        end as missing_reason
    from in_use
    left join missing on in_use.published_file = missing.published_file
    union all
    select
        missing.file_id,
        missing.file_key,
        missing.dataset,
        missing.table_name,
        missing.file_rows,
        missing.file_id as missing_file_id,
        missing.reason as missing_reason
    from missing
    left join in_use on missing.published_file = in_use.published_file
    where in_use.file_id is null

),

raw_rows as (

    select * from {{ ref('int_single_file_counts') }}

),

-- a version without a count has no rows, which is also right for an empty file
counted as (

    select
        files.*,
        coalesce(raw_rows.raw_rows, 0) as raw_rows
    from files
    left join raw_rows
        on
            files.dataset = raw_rows.dataset
            and files.file_key = raw_rows.file_key

)

select
    cast(file_id as {{ sql_type('text') }}) as file_id,
    cast(dataset as {{ sql_type('text') }}) as dataset,
    file_rows,
    cast(raw_rows as bigint) as raw_rows,
    cast(missing_file_id as {{ sql_type('text') }}) as missing_file_id,
    cast(missing_reason as {{ sql_type('text') }}) as missing_reason,
    cast(table_name as {{ sql_type('text') }}) as table_name,
    cast(null as date) as month,
    cast(null as bigint) as fact_rows,
    cast(null as bigint) as valid_rows,
    cast(null as bigint) as invalid_rows,
    coalesce(file_rows = raw_rows, false) as is_balanced
from counted
