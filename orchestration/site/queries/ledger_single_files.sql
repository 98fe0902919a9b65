/* The ledger of the files that belong to no month. */
select dataset, table_name, file_rows, raw_rows, is_balanced, file_id, missing_reason
from marts.ledger_single_files
order by dataset, table_name
