{# The rows that a unit test gives and expects, as dbt writes them. #}

{% macro get_fixture_sql(rows, column_name_to_data_types) %}
    {{ in_one_part(dbt.get_fixture_sql(rows, column_name_to_data_types)) }}
{% endmacro %}

{% macro get_expected_sql(rows, column_name_to_data_types, column_name_to_quoted) %}
    {{ in_one_part(dbt.get_expected_sql(rows, column_name_to_data_types, column_name_to_quoted)) }}
{% endmacro %}


{% macro in_one_part(query) -%}
    {{ adapter.dispatch('in_one_part')(query) }}
{%- endmacro %}

{% macro default__in_one_part(query) -%}
    {{ query }}
{%- endmacro %}

{# dbt has a query for each row, and Spark a task for each of them, wherever a model reads the rows:
   most of the time of a unit test. #}
{% macro spark__in_one_part(query) -%}
    select /*+ coalesce(1) */ * from (
    {{ query }}
    )
{%- endmacro %}
