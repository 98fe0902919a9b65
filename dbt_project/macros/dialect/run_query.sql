{# dbt's own, but that Spark is asked for rows only where the statement gives some: 3.5 answers with an error else.
   https://github.com/dbt-labs/dbt-adapters/blob/main/dbt-adapters/src/dbt/include/global_project/macros/etc/statement.sql #}
{% macro run_query(sql) %}
    {%- set without_rows = ('alter', 'comment', 'create', 'delete', 'drop', 'insert') -%}
    {%- set has_rows = target.type != 'spark' or sql.split()[0] | lower not in without_rows -%}
    {% call statement('run_query_statement', fetch_result=has_rows, auto_begin=false) -%}
        {{ sql }}
    {%- endcall %}
    {{ return(load_result('run_query_statement').table) }}
{% endmacro %}
