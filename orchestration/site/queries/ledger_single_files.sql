/* The ledger of the files that belong to no month. A file is absent if no version of it is in use. */
select
    dataset,
    table_name,
    file_rows,
    raw_rows,
    is_balanced,
    file_id,
    missing_reason,
    coalesce(missing_file_id = file_id and raw_rows = 0, false) as is_absent
from marts.ledger_single_files
order by dataset, table_name
