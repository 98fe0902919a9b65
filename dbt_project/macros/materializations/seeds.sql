{# A seed that has other columns than its table makes the table anew: an upgrade may bring a column, and
   dbt would fail to fill the table as it is, until somebody says --full-refresh. #}
{% macro default__reset_csv_table(model, full_refresh, old_relation, agate_table) %}
    {%- set held = adapter.get_columns_in_relation(old_relation) | map(attribute='name') | list -%}
    {% if full_refresh or held != agate_table.column_names | list %}
        {% do adapter.drop_relation(old_relation) %}
        {{ return(create_csv_table(model, agate_table)) }}
    {% endif %}
    {% do adapter.truncate_relation(old_relation) %}
    {{ return('truncate table ' ~ old_relation.render()) }}
{% endmacro %}
