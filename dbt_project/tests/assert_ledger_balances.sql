-- A row here is a file of which rows were lost or doubled on their way to the facts.

select
    dataset,
    month,
    file_rows,
    raw_rows,
    fact_rows
from {{ ref('ledger') }}
where not is_balanced
