/* The ledger: for each published month, rows of the file, of its raw table and of the facts. A month is absent
if no version of it is in use; it is missing, and has no balance. */
select
    dataset,
    month,
    file_rows,
    raw_rows,
    fact_rows,
    valid_rows,
    invalid_rows,
    is_balanced,
    file_id,
    missing_reason,
    coalesce(missing_file_id = file_id and raw_rows = 0 and coalesce(fact_rows, 0) = 0, false) as is_absent
from marts.ledger
order by dataset, month
