{# The engine's name of a type that models ask for by the name that DuckDB and PostgreSQL share. #}
{% macro sql_type(name) -%}
    {{ return(adapter.dispatch('sql_type')(name)) }}
{%- endmacro %}

{% macro default__sql_type(name) -%}
    {{ return(name) }}
{%- endmacro %}

{# A timestamp without a time zone, as on the other engines. #}
{% macro spark__sql_type(name) -%}
    {{ return({
        'text': 'string',
        'varchar': 'string',
        'double precision': 'double',
        'timestamp': 'timestamp_ntz',
        'integer': 'int',
    }.get(name, name)) }}
{%- endmacro %}
