-- Grain: one service and month of the facts.

with months as (

    select distinct
        service,
        source_month,
        0 as row_ordinal
    from {{ ref('int_fact_counts') }}

),

first_rows as (

    {% for service in trip_services() -%}
        select
            service,
            source_month,
            {{ trip_id(service) }} as first_trip_id
        from months
        where service = '{{ service }}'
        {% if not loop.last -%}
            union all
        {% endif -%}
    {% endfor %}

)

select
    service,
    source_month,
    first_trip_id
from first_rows
