{# What an engine needs so that one month of a new table can be found without reading the others. #}
{% macro prune_by_month(relation) -%}
    {{ adapter.dispatch('prune_by_month')(relation) }}
{%- endmacro %}

{# DuckDB keeps the least and greatest value of every row group by itself. #}
{% macro default__prune_by_month(relation) -%}
    select 1
{%- endmacro %}

{% macro postgres__prune_by_month(relation) -%}
    create index on {{ relation }} using brin (source_month)
{%- endmacro %}


{# What an engine needs to be told after months were replaced. #}
{% macro after_months(relation) -%}
    {{ adapter.dispatch('after_months')(relation) }}
{%- endmacro %}

{% macro default__after_months(relation) -%}
    select 1
{%- endmacro %}

{# New blocks are in no BRIN summary, and the planner knows nothing of them, until autovacuum comes. #}
{% macro postgres__after_months(relation) -%}
    select brin_summarize_new_values(index_class.oid)
    from pg_index
    inner join pg_class as index_class on pg_index.indexrelid = index_class.oid
    inner join pg_am on index_class.relam = pg_am.oid
    where pg_index.indrelid = '{{ relation }}'::regclass and pg_am.amname = 'brin';
    analyze {{ relation }}
{%- endmacro %}
