-- A row here is a file without a month of which the read view does not give as many rows as the
-- file has, now or when the ledger was built. Where no version is in use there are to be no rows;
-- the ledger gives the reason.

with ledger as (

    select * from {{ ref('ledger_single_files') }}

),

-- such files are small: they are counted anew, so a later change to a raw table is found
counted as (

    select * from {{ ref('int_single_file_counts') }}

),

files as (

    select * from {{ ref('stg_tlc__files') }}

)

select
    ledger.dataset,
    ledger.table_name,
    ledger.file_rows,
    ledger.raw_rows,
    coalesce(counted.raw_rows, 0) as raw_rows_now
from ledger
inner join files on ledger.table_name = files.table_name
left join counted
    on
        files.dataset = counted.dataset
        and files.file_key = counted.file_key
where
    (not ledger.is_balanced or ledger.file_rows <> coalesce(counted.raw_rows, 0))
    and (
        ledger.missing_file_id is null
        or ledger.missing_file_id <> ledger.file_id
        or ledger.raw_rows > 0
        or coalesce(counted.raw_rows, 0) > 0
    )
