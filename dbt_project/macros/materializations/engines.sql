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


{# Nobody else replaces months of this table until end_turn, or until this connection ends. Two dbt at
   once would both find a month stale and both insert it; the second waits, and finds nothing to do. #}
{% macro wait_for_turn(relation) -%}
    {{ adapter.dispatch('wait_for_turn')(relation) }}
{%- endmacro %}

{# DuckDB lets one process write. #}
{% macro default__wait_for_turn(relation) -%}
{%- endmacro %}

{% macro postgres__wait_for_turn(relation) -%}
    {% call statement('wait_for_turn', auto_begin=False) -%}
        select pg_advisory_lock(hashtextextended('{{ relation }}', 0))
    {%- endcall %}
{%- endmacro %}

{% macro end_turn(relation) -%}
    {{ adapter.dispatch('end_turn')(relation) }}
{%- endmacro %}

{% macro default__end_turn(relation) -%}
{%- endmacro %}

{% macro postgres__end_turn(relation) -%}
    {% call statement('end_turn', auto_begin=False) -%}
        select pg_advisory_unlock(hashtextextended('{{ relation }}', 0))
    {%- endcall %}
{%- endmacro %}


{# What an engine needs to be told after months were replaced. #}
{% macro after_months(relation) -%}
    {{ adapter.dispatch('after_months')(relation) }}
{%- endmacro %}

{% macro default__after_months(relation) -%}
    select 1
{%- endmacro %}

{# What a replaced month left is freed for the next one, and new blocks, which are in no BRIN summary
   and no statistics yet, are found. Blocks that did not change are skipped. #}
{% macro postgres__after_months(relation) -%}
    vacuum (analyze) {{ relation }}
{%- endmacro %}
