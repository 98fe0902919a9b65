{# The schemas are an interface: exactly the names that models ask for, on every target. On Spark, where one
   metastore holds several warehouses, each has a prefix of its own before them. #}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ schema_named(custom_schema_name or target.schema) | trim }}
{%- endmacro %}

{% macro schema_named(name) -%}
    {{ return(schema_prefix() ~ name) }}
{%- endmacro %}

{% macro schema_prefix() -%}
    {{ return(env_var('MEDALLION_SPARK_SCHEMA_PREFIX', '') if target.type == 'spark' else '') }}
{%- endmacro %}

{# The name of a table or view in the build records: without a prefix. #}
{% macro recorded_name(relation) -%}
    {{ return(relation.schema.removeprefix(schema_prefix()) ~ '.' ~ relation.identifier) }}
{%- endmacro %}
