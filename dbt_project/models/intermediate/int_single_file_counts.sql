-- Grain: one dataset without months and file version, as the read views give it now.

-- the read views of all sources
-- depends_on: {{ source('raw', 'files') }}
with origins as (

    {% for dataset, read_view in read_views(by_month=false) -%}
    select
        '{{ dataset }}' as dataset,
        file_key
    from {{ read_view }}
    union all
    {% endfor -%}
    select
        cast(null as {{ sql_type('varchar') }}) as dataset,
        cast(null as bigint) as file_key
    where 1 = 0

)

select
    dataset,
    file_key,
    count(*) as raw_rows
from origins
group by dataset, file_key
