-- Grain: one dataset (service), month and file version as the read views give it.

-- the read views of all sources: a further dataset makes no month of the others stale
-- depends_on: {{ source('raw', 'files') }}
{{ config(materialized='by_month', fingerprint_of='code') }}

with origins as (

    {% for dataset, read_view in read_views() -%}
    select
        '{{ dataset }}' as service,
        source_month,
        file_key
    from {{ read_view }}
    union all
    {% endfor -%}
    select
        cast(null as {{ sql_type('varchar') }}) as service,
        cast(null as date) as source_month,
        cast(null as bigint) as file_key
    where 1 = 0

)

select
    service,
    source_month,
    file_key,
    count(*) as raw_rows
from origins
group by service, source_month, file_key
