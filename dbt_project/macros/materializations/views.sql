{#
  Views of DuckDB are replaced by one statement, as dbt replaces those of other engines. dbt-duckdb makes another
  view, renames both and drops the old one: five statements for each view, every night.
  https://github.com/duckdb/dbt-duckdb/blob/master/dbt/include/duckdb/macros/adapters.sql
#}
{% materialization view, adapter='duckdb' %}
    {%- set made = create_or_replace_view() -%}
    {% do persist_docs(made.relations[0], model) %}
    {% do adapter.commit() %}
    {{ return(made) }}
{% endmaterialization %}


{% macro duckdb__create_view_as(relation, sql) %}
    {% if config.get('contract').enforced %}
        {{ get_assert_columns_equivalent(sql) }}
    {% endif %}
    {{ config.get('sql_header', '') }}
    create or replace view {{ relation }} as (
        {{ sql }}
    );
{% endmacro %}


{# dbt has left out the columns that are not there before it asks for this, and dbt-duckdb would look again. #}
{% macro duckdb__alter_column_comment(relation, column_dict) %}
    {% for name, column in column_dict.items() %}
    comment on column {{ relation }}.{{ adapter.quote(name) if column['quote'] else name }}
    is {{ duckdb_escape_comment(column['description']) }};
    {% endfor %}
{% endmacro %}
