-- Grain: one row of a published trip file; the four services under the same columns.

{{- config(**trips_config()) }}

{%- set select_lists = {} -%}
{%- for service in trip_services() -%}
    {%- set expressions = [] -%}
    {%- for column, its in trip_columns().items() -%}
        {%- do expressions.append(
            column if service in its.services else 'cast(null as ' ~ sql_type(its.type) ~ ') as ' ~ column
        ) -%}
    {%- endfor -%}
    {%- do select_lists.update({service: expressions | join(',\n    ')}) -%}
{%- endfor %}

with yellow as (

    select * from {{ ref('stg_tlc__yellow_trips') }}

),

green as (

    select * from {{ ref('stg_tlc__green_trips') }}

),

fhv as (

    select * from {{ ref('stg_tlc__fhv_trips') }}

),

fhvhv as (

    select * from {{ ref('stg_tlc__fhvhv_trips') }}

)

select
    {{ select_lists.yellow }}
from yellow
union all
select
    {{ select_lists.green }}
from green
union all
select
    {{ select_lists.fhv }}
from fhv
union all
select
    {{ select_lists.fhvhv }}
from fhvhv
