{#
  A table that is computed as a whole, and written where its rows are others now:
  materialized='by_content'.

  For small tables, such as dimensions and the ledger. What the model gives is compared with what the
  table holds. Where both are equal nothing is written; where not, the rows are replaced in one
  transaction, which no reader waits for or makes wait. dbt's `table` renames and drops instead, and
  that needs every reader to be gone.

  A table whose columns or constraints have changed is built beside the old one and promoted.
#}
{% materialization by_content, default, supported_languages=['sql'] %}
    {%- set target_relation = this.incorporate(type='table') -%}
    {%- set fingerprint = contract_fingerprint(sql) -%}
    {%- set existing = begin_table(target_relation) -%}

    {%- if has_fingerprint(target_relation, fingerprint) -%}
        {%- set code = replace_content(target_relation, sql) -%}
    {%- else -%}
        {%- set code = 'BUILT' -%}
        {%- set work = target_relation if existing is none else rebuilt_beside() -%}
        {% do start_table(work, sql, fingerprint) %}
        {% do begin_transaction() %}
        {% call statement('fill', auto_begin=True) -%}
            {{ insert_content(work, sql) }}
        {%- endcall %}
        {% do adapter.commit() %}
        {%- if existing is not none -%}
            {% do promote_table(work, target_relation, existing) %}
        {%- endif -%}
    {%- endif -%}

    {%- do store_raw_result(name='main', message=code, code=code, rows_affected=0) -%}
    {{ return(finish_table(target_relation, after_content(target_relation, code))) }}
{% endmaterialization %}


{# md5 of the table as its contract makes it. The SQL is no part of it: its rows are compared. #}
{% macro contract_fingerprint(sql) %}
    {%- if not config.get('contract').enforced -%}
        {% do exceptions.raise_compiler_error(this.identifier ~ ' needs a contract, which gives its columns.') %}
    {%- endif -%}
    {{ return(local_md5(contract_text(sql))) }}
{% endmacro %}


{# The columns and constraints; raises where the model gives other columns than its contract says. #}
{% macro contract_text(sql) %}
    {{ return(adapter.dispatch('contract_text')(sql)) }}
{% endmacro %}

{% macro default__contract_text(sql) %}
    {%- do get_assert_columns_equivalent(sql) -%}
    {{ return(get_table_columns_and_constraints()) }}
{% endmacro %}

{# What the model gives is compared where its table is made or its rows are: Spark takes as long for that as to
   plan it. #}
{% macro spark__contract_text(sql) %}
    {{ return(contract_parts() | join(', ')) }}
{% endmacro %}


{# The columns of the contract. The table may have others, which an engine computes: index_text. #}
{% macro contract_columns() -%}
    {%- set quoted = [] -%}
    {%- for name in model.columns -%}
        {%- do quoted.append(adapter.quote(name)) -%}
    {%- endfor -%}
    {{ return(quoted | join(', ')) }}
{%- endmacro %}


{% macro insert_content(relation, sql) %}
    {{ return(adapter.dispatch('insert_content')(relation, sql)) }}
{% endmacro %}

{% macro default__insert_content(relation, sql) %}
    {%- set columns = contract_columns() -%}
    insert into {{ relation }} ({{ columns }})
    select {{ columns }} from (
        {{ sql }}
    ) as model
{% endmacro %}


{# Replace all rows where they are not what the model gives; says what was done. #}
{% macro replace_content(relation, sql) %}
    {{ return(adapter.dispatch('replace_content')(relation, sql)) }}
{% endmacro %}

{% macro default__replace_content(relation, sql) %}
    {%- set columns = contract_columns() -%}
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
        update {{ month_builds() }} set tested_at = null, built_at = {{ clock_time() }}
        where source_month is null and table_name = '{{ recorded_name(relation) }}';
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
