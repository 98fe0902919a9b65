/* Every version of every published file that was loaded or quarantined, oldest first. */
select
    dataset,
    month,
    file_id,
    landed_at,
    row_count,
    columns,
    status,
    error,
    is_current,
    source_url
from raw.files
order by dataset, month, landed_at
