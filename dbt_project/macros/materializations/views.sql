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


{#
  Write the descriptions of a relation and its columns by one statement. dbt asks for the columns that are there by
  `describe`, which plans a view anew, with all views that it reads; the catalog has them since the view was made.
  https://github.com/duckdb/dbt-duckdb/issues/762
#}
{% macro duckdb__persist_docs(relation, model, for_relation, for_columns) %}
    {%- set comments = [] -%}
    {%- if for_relation and config.persist_relation_docs() and model.description -%}
        {%- do comments.append(alter_relation_comment(relation, model.description)) -%}
    {%- endif -%}
    {%- if for_columns and config.persist_column_docs() and model.columns -%}
        {%- set there = run_query(
            "select column_name from duckdb_columns() where database_name = '" ~ relation.database
            ~ "' and schema_name = '" ~ relation.schema ~ "' and table_name = '" ~ relation.identifier ~ "'"
        ).columns[0].values() -%}
        {%- do comments.append(
            alter_column_comment(relation, validate_doc_columns(relation, model.columns, there | list))
        ) -%}
    {%- endif -%}
    {%- if comments -%}
        {% do run_query(comments | join('\n')) %}
    {%- endif -%}
{% endmacro %}


{# The columns that are not there were left out before, and dbt-duckdb would look again. #}
{% macro duckdb__alter_column_comment(relation, column_dict) %}
    {% for name, column in column_dict.items() %}
    comment on column {{ relation }}.{{ adapter.quote(name) if column['quote'] else name }}
    is {{ duckdb_escape_comment(column['description']) }};
    {% endfor %}
{% endmacro %}
