/* The ledger: for each published month, rows of the file, of its raw table and of the facts. */
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
    missing_reason
from marts.ledger
order by dataset, month
