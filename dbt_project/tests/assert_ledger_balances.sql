-- A row here is a file of which rows were lost or doubled on their way to the facts. Of a month
-- that has no version in use nothing is to be in them; the ledger gives the reason.

select
    dataset,
    month,
    file_rows,
    raw_rows,
    fact_rows
from {{ ref('ledger') }}
where
    not is_balanced
    and (
        missing_file_id is null
        or missing_file_id <> file_id
        or raw_rows > 0
        or fact_rows > 0
    )
