-- A row here is a month of which fct_trips holds rows that came from no file in use: what a file
-- that was replaced or withdrawn left behind. The ledger goes by file and would not see them.

with fact_counts as (

    select * from {{ ref('int_fact_counts') }}

),

files as (

    select * from {{ ref('stg_tlc__files') }}

)

select
    fact_counts.service,
    fact_counts.source_month,
    fact_counts.file_key,
    sum(fact_counts.fact_rows) as fact_rows
from fact_counts
left join files
    on
        fact_counts.service = files.dataset
        and fact_counts.source_month = files.source_month
        and fact_counts.file_key = files.file_key
        and files.is_current
where files.file_id is null
group by fact_counts.service, fact_counts.source_month, fact_counts.file_key
