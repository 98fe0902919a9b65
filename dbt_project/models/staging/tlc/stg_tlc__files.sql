-- Grain: one file version that was landed.

with files as (

    select * from {{ source('raw', 'files') }}

)

select
    file_id,
    file_key,
    dataset,
    month as source_month,
    source_url,
    landed_at,
    loaded_at,
    row_count as file_rows,
    status,
    error,
    is_current,
    is_newest,
    table_name
from files
