{# Begin a run of dbt, where the engine needs more than its adapter does: look whether it runs as asked,
   and keep other runs out until end_run. #}
{% macro begin_run() %}
    {{ return(adapter.dispatch('begin_run')()) }}
{% endmacro %}

{% macro default__begin_run() %}
{% endmacro %}

{% macro end_run() %}
    {{ return(adapter.dispatch('end_run')()) }}
{% endmacro %}

{% macro default__end_run() %}
{% endmacro %}


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


{# What time it is now, by the engine's clock. #}
{% macro clock_time() -%}
    {{ adapter.dispatch('clock_time')() }}
{%- endmacro %}

{% macro default__clock_time() -%}
    {{ current_timestamp() }}
{%- endmacro %}

{# Else it would be the time when the transaction began, and an interval may take minutes. #}
{% macro postgres__clock_time() -%}
    clock_timestamp()
{%- endmacro %}


{# Make the empty table of a model. #}
{% macro create_empty_table(relation, sql) %}
    {{ return(adapter.dispatch('create_empty_table')(relation, sql)) }}
{% endmacro %}

{% macro default__create_empty_table(relation, sql) %}
    {% call statement('create_empty_table', auto_begin=True) -%}
        {{ create_table_as(False, relation, 'select * from (' ~ sql ~ ') as model where 1 = 0') }}
    {%- endcall %}
{% endmacro %}

{% macro postgres__create_empty_table(relation, sql) %}
    {% if config.get('partitioned', false) %}
        {% do create_partitioned_table(relation, sql) %}
    {% else %}
        {% do default__create_empty_table(relation, sql) %}
    {% endif %}
{% endmacro %}


{# Put the rows of one interval in the place of those that the table has, in the transaction that is
   open; of an interval that is gone there are none. #}
{% macro write_interval(relation, columns, sql, interval, is_this_interval) %}
    {{ return(adapter.dispatch('write_interval')(relation, columns, sql, interval, is_this_interval)) }}
{% endmacro %}

{% macro default__write_interval(relation, columns, sql, interval, is_this_interval) %}
    {% if interval.is_held %}
        {# rows and build record come and go together: no record, no rows #}
        {% call statement('delete_interval', auto_begin=True) -%}
            delete from {{ relation }} where {{ is_this_interval }}
        {%- endcall %}
    {% endif %}
    {% if interval.build_key is not none %}
        {% call statement('insert_interval', auto_begin=True) -%}
            insert into {{ relation }} ({{ columns }})
            select {{ columns }} from (
                {{ sql }}
            ) as model
            where {{ is_this_interval }}
        {%- endcall %}
    {% endif %}
{% endmacro %}

{% macro postgres__write_interval(relation, columns, sql, interval, is_this_interval) %}
    {% if config.get('partitioned', false) %}
        {% do write_partition(relation, columns, sql, interval, is_this_interval) %}
    {% else %}
        {% do default__write_interval(relation, columns, sql, interval, is_this_interval) %}
    {% endif %}
{% endmacro %}


{# Nobody else writes to this table until end_turn, or until this connection ends. Two dbt at once would
   both find an interval stale and both insert it; the second waits, and finds nothing to do. #}
{% macro wait_for_turn(relation) -%}
    {{ adapter.dispatch('wait_for_turn')(relation) }}
{%- endmacro %}

{# DuckDB lets one process write. #}
{% macro default__wait_for_turn(relation) -%}
{%- endmacro %}

{% macro postgres__wait_for_turn(relation) -%}
    {# libpq knows the process that it connected to; behind a pooler the statement runs in another.
       Such a session would keep the lock when we are gone, or let somebody else give it up #}
    {%- set connection, cursor = adapter.add_query('select pg_backend_pid()', auto_begin=False) -%}
    {%- if cursor.fetchone()[0] != connection.handle.get_backend_pid() -%}
        {% do exceptions.raise_compiler_error(
            'PostgreSQL at ' ~ target.host ~ ':' ~ target.port ~ ' is reached through a pooler (such as'
            ~ ' PgBouncer), which does not keep the locks, the role and the settings of a session. Connect'
            ~ ' to the server itself: set PGHOST and PGPORT to its own address.'
        ) %}
    {%- endif -%}
    {# as long as it takes: whoever builds it is at work, or gone and with them their lock #}
    {% call statement('wait_for_turn', auto_begin=False) -%}
        set lock_timeout = 0;
        select pg_advisory_lock(hashtextextended('{{ relation }}', 0));
        reset lock_timeout
    {%- endcall %}
    {# what whoever was before us made is not in our cache #}
    {%- for made in (relation, rebuilt_beside()) if load_cached_relation(made) is none
        and run_query("select to_regclass('" ~ made ~ "')").columns[0].values()[0] is not none -%}
        {% do adapter.cache_added(made) %}
    {%- endfor -%}
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


{# What an engine needs to be told after intervals were replaced. #}
{% macro after_intervals(relation, intervals) -%}
    {{ adapter.dispatch('after_intervals')(relation, intervals) }}
{%- endmacro %}

{% macro default__after_intervals(relation, intervals) -%}
    select 1
{%- endmacro %}

{# The planner knows nothing of new rows until autovacuum comes, and it never comes to a table of
   partitions. #}
{% macro postgres__after_intervals(relation, intervals) -%}
    {%- if config.get('partitioned', false) -%}
        {{ analyze_partitions(relation, intervals) }}
    {%- else -%}
        {{ 'analyze ' ~ relation if intervals else 'select 1' }}
    {%- endif -%}
{%- endmacro %}


{# Free what replaced rows left, for the rows to come. At the end of a run, when no other thread
   of it has a transaction open that could still see those rows. #}
{% macro free_replaced_rows(results) %}
    {%- if execute and flags.WHICH in ('run', 'build') -%}
        {%- for result in results
            if result.node.config.materialized in ('by_month', 'by_content')
            and (result.adapter_response or {}).get('code') == 'REPLACED' -%}
            {% do adapter.dispatch('free_replaced')(
                api.Relation.create(
                    database=target.database or none, schema=result.node.schema, identifier=result.node.alias
                ),
                result.node.config.get('partitioned', false)
            ) %}
        {%- endfor -%}
    {%- endif -%}
{% endmacro %}

{# DuckDB uses freed blocks again by itself. #}
{% macro default__free_replaced(relation, partitioned) %}
{% endmacro %}

{# Blocks that did not change are skipped. #}
{% macro postgres__free_replaced(relation, partitioned) %}
    {%- set tables = partitions_to_free(relation) if partitioned else [relation] -%}
    {# of the transaction that psycopg2 began; vacuum cannot be in one #}
    {% do run_query('commit') %}
    {% for table in tables %}
        {% do run_query('vacuum ' ~ table) %}
    {% endfor %}
{% endmacro %}
