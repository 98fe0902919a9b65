-- Grain: one published month, by its version in use, or where it has none by the newest, which is
-- missing. It balances when file rows = raw rows = fact rows. A dataset that no facts are made of
-- has none to balance: its fact rows are null. Files without a month are in ledger_single_files.

{%- set facts_of = "'" ~ trip_services() | join("', '") ~ "'" %}

with versions as (

    select * from {{ ref('stg_tlc__files') }}
    where source_month is not null

),

in_use as (

    select * from versions
    where is_current

),

missing as (

    select
        file_id,
        file_key,
        dataset,
        source_month,
        file_rows,
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
        in_use.source_month,
        in_use.file_rows,
        missing.file_id as missing_file_id,
        case
            when missing.file_id is not null then missing.reason
            when not in_use.is_newest then 'a newer version was landed and is not loaded'
        end as missing_reason
    from in_use
    left join missing
        on
            in_use.dataset = missing.dataset
            and in_use.source_month = missing.source_month
    union all
    select
        missing.file_id,
        missing.file_key,
        missing.dataset,
        missing.source_month,
        missing.file_rows,
        missing.file_id as missing_file_id,
        missing.reason as missing_reason
    from missing
    left join in_use
        on
            missing.dataset = in_use.dataset
            and missing.source_month = in_use.source_month
    where in_use.file_id is null

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

-- a version without counts has no rows, which is also right for an empty file
counted as (

    select
        files.file_id,
        files.dataset,
        files.source_month,
        files.file_rows,
        files.missing_file_id,
        files.missing_reason,
        coalesce(raw_rows.raw_rows, 0) as raw_rows,
        coalesce(fact_rows.fact_rows, 0) as fact_rows,
        coalesce(fact_rows.valid_rows, 0) as valid_rows,
        files.dataset in ({{ facts_of }}) as has_facts
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
    cast(file_id as {{ sql_type('text') }}) as file_id,
    cast(dataset as {{ sql_type('text') }}) as dataset,
    source_month as month,
    file_rows,
    cast(raw_rows as bigint) as raw_rows,
    cast(case when has_facts then fact_rows end as bigint) as fact_rows,
    cast(case when has_facts then valid_rows end as bigint) as valid_rows,
    cast(missing_file_id as {{ sql_type('text') }}) as missing_file_id,
    cast(missing_reason as {{ sql_type('text') }}) as missing_reason,
    cast(case when has_facts then fact_rows - valid_rows end as bigint) as invalid_rows,
    coalesce(
        file_rows = raw_rows and (raw_rows = fact_rows or not has_facts), false
    ) as is_balanced
from counted
