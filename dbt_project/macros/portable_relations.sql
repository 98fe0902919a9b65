{# Relations without the database's name: DuckDB names a database after its file, and views that hold
   that name break when the warehouse is copied or renamed.
   https://docs.getdbt.com/reference/dbt-jinja-functions/builtins #}
{% macro ref() %}
    {%- set relation = builtins.ref(*varargs, **kwargs) -%}
    {{ return(relation.include(database=false) if relation.database else relation) }}
{% endmacro %}

{% macro source() %}
    {%- set relation = builtins.source(*varargs, **kwargs) -%}
    {{ return(relation.include(database=false) if relation.database else relation) }}
{% endmacro %}
