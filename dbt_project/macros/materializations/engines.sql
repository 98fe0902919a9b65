{# Begin a transaction, where the engine's adapter would not with the next statement. #}
{% macro begin_transaction() %}
    {{ return(adapter.dispatch('begin_transaction')()) }}
{% endmacro %}

{% macro default__begin_transaction() %}
{% endmacro %}

{# dbt leaves it to psycopg2, which begins one transaction and knows nothing of dbt's `commit`, a
   statement like any other: what comes after it on the same connection would commit by itself. #}
{% macro postgres__begin_transaction() %}
    {% call statement('begin', auto_begin=True) -%}
        begin
    {%- endcall %}
{% endmacro %}


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
    {# as long as it takes: whoever builds it is at work, or gone and with them their lock #}
    {% call statement('wait_for_turn', auto_begin=False) -%}
        set lock_timeout = 0;
        select pg_advisory_lock(hashtextextended('{{ relation }}', 0));
        reset lock_timeout
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

{# New blocks are in no BRIN summary, and the planner knows nothing of them, until autovacuum comes. #}
{% macro postgres__after_months(relation) -%}
    select brin_summarize_new_values(index_class.oid)
    from pg_index
    inner join pg_class as index_class on pg_index.indexrelid = index_class.oid
    inner join pg_am on index_class.relam = pg_am.oid
    where pg_index.indrelid = '{{ relation }}'::regclass and pg_am.amname = 'brin';
    analyze {{ relation }}
{%- endmacro %}


{# Free what replaced months left, for the months to come. At the end of a run, when no other thread
   of it has a transaction open that could still see those rows. #}
{% macro free_replaced_months(results) %}
    {%- if execute and flags.WHICH in ('run', 'build') -%}
        {%- for result in results
            if result.node.config.materialized == 'by_month'
            and (result.adapter_response or {}).get('code') == 'REPLACED' -%}
            {% do adapter.dispatch('free_replaced')(api.Relation.create(
                database=target.database, schema=result.node.schema, identifier=result.node.alias
            )) %}
        {%- endfor -%}
    {%- endif -%}
{% endmacro %}

{# DuckDB uses freed blocks again by itself. #}
{% macro default__free_replaced(relation) %}
{% endmacro %}

{# Blocks that did not change are skipped. #}
{% macro postgres__free_replaced(relation) %}
    {# of the transaction that psycopg2 began; vacuum cannot be in one #}
    {% do run_query('commit') %}
    {% do run_query('vacuum ' ~ relation) %}
{% endmacro %}
