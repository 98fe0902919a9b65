{# Make the index of a full-text search over a column of English text, where the engine keeps one
   with the table. DuckDB's is a schema of its own, which `medallion documents search` makes apart. #}
{% macro index_text(relation, column) %}
    {{ return(adapter.dispatch('index_text')(relation, column)) }}
{% endmacro %}

{% macro default__index_text(relation, column) %}
{% endmacro %}

{% macro postgres__index_text(relation, column) -%}
    create index if not exists {{ relation.identifier }}_{{ column }}_search
        on {{ relation }} using gin (to_tsvector('english', {{ column }}))
{%- endmacro %}
