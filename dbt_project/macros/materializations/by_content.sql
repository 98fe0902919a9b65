{#
  A table whose rows are replaced where they are others now: materialized='by_content'.

  For small tables, such as dimensions and the ledger, which are computed as a whole. What the model
  gives is compared with what the table holds. Where both are equal nothing is written; where not, the
  rows are replaced in one transaction, which no reader waits for or makes wait. dbt's `table` renames
  and drops instead, and that needs every reader to be gone.

  A table whose columns or constraints have changed is built beside the old one and takes its place.
#}
{% materialization by_content, default, supported_languages=['sql'] %}
    {%- set target_relation = this.incorporate(type='table') -%}
    {%- set definition = content_definition(sql) -%}
    {%- set grant_config = config.get('grants') -%}

    {% do wait_for_turn(target_relation) %}
    {%- set existing = load_cached_relation(this) -%}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}

    {%- set whole = existing is not none and existing.is_table and not should_full_refresh()
        and month_table_is_current(this, definition) -%}
    {%- if whole -%}
        {%- set code = replace_content(target_relation, sql) -%}
    {%- else -%}
        {%- set code = 'BUILT' -%}
        {%- set work = target_relation if existing is none else rebuilt_beside() -%}
        {% do start_month_table(work, sql, definition) %}
        {% do begin_transaction() %}
        {% call statement('fill', auto_begin=True) -%}
            {{ insert_content(work, sql) }}
        {%- endcall %}
        {% do adapter.commit() %}
        {%- if existing is not none -%}
            {% do swap_month_table(work, target_relation, existing) %}
        {%- endif -%}
    {%- endif -%}
    {%- do store_raw_result(name='main', message=code, code=code, rows_affected=0) -%}

    {# hooks and grants want a transaction #}
    {% do begin_transaction() %}
    {% call statement('finish', auto_begin=True) -%}
        {{ after_content(target_relation, code) }}
    {%- endcall %}
    {% do apply_grants(target_relation, grant_config, should_revoke=existing is not none) %}
    {% do persist_changed_docs(target_relation) %}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {% do adapter.commit() %}
    {% do end_turn(target_relation) %}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [target_relation]}) }}
{% endmaterialization %}


{# md5 of the table as its contract makes it. #}
{% macro content_definition(sql) %}
    {%- if not config.get('contract').enforced -%}
        {% do exceptions.raise_compiler_error(this.identifier ~ ' needs a contract, which gives its columns.') %}
    {%- endif -%}
    {# raises where the model gives other columns than its contract says #}
    {%- do get_assert_columns_equivalent(sql) -%}
    {{ return(local_md5(get_table_columns_and_constraints())) }}
{% endmacro %}


{% macro insert_content(relation, sql) %}
    {%- set columns = adapter.get_columns_in_relation(relation) | map(attribute='quoted') | join(', ') -%}
    insert into {{ relation }} ({{ columns }})
    select {{ columns }} from (
        {{ sql }}
    ) as model
{% endmacro %}


{# Replace all rows where they are not what the model gives; says what was done. #}
{% macro replace_content(relation, sql) %}
    {%- set columns = adapter.get_columns_in_relation(relation) | map(attribute='quoted') | join(', ') -%}
    {%- set now = adapter.quote(relation.identifier ~ '__now') -%}
    {% do begin_transaction() %}
    {% call statement('compute', auto_begin=True) -%}
        create temporary table {{ now }} as select {{ columns }} from {{ relation }} where 1 = 0;
        insert into {{ now }} ({{ columns }})
        select {{ columns }} from (
            {{ sql }}
        ) as model
    {%- endcall %}
    {%- set differs = run_query(
        "select count(*) from ("
        ~ "(select " ~ columns ~ " from " ~ now ~ " except all select " ~ columns ~ " from " ~ relation ~ ")"
        ~ " union all "
        ~ "(select " ~ columns ~ " from " ~ relation ~ " except all select " ~ columns ~ " from " ~ now ~ ")"
        ~ ") as differing"
    ).columns[0].values()[0] > 0 -%}
    {% call statement('replace') -%}
        {%- if differs %}
        delete from {{ relation }};
        insert into {{ relation }} ({{ columns }}) select {{ columns }} from {{ now }};
        {%- endif %}
        drop table {{ now }}
    {%- endcall %}
    {% do adapter.commit() %}
    {{ return('REPLACED' if differs else 'UNCHANGED') }}
{% endmacro %}


{# What an engine needs to be told after rows were replaced. #}
{% macro after_content(relation, code) -%}
    {{ 'analyze ' ~ relation if target.type == 'postgres' and code != 'UNCHANGED' else 'select 1' }}
{%- endmacro %}
