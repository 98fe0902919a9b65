{# Make the index of a full-text search over a column of English text, where the engine keeps one
   with the table. DuckDB's is a schema of its own, which `medallion documents search` makes apart. #}
{% macro index_text(relation, column) %}
    {{ return(adapter.dispatch('index_text')(relation, column)) }}
{% endmacro %}

{% macro default__index_text(relation, column) %}
{% endmacro %}

{# The words of the text are kept in a column that PostgreSQL computes: a rank that had to find them
   again in each text would take seconds. A table that has the column is left alone, for to alter it
   would wait for its readers. #}
{% macro postgres__index_text(relation, column) -%}
    {%- set words = column ~ '_search' -%}
    {%- if words not in adapter.get_columns_in_relation(relation) | map(attribute='name') -%}
        {%- set index = relation.identifier ~ '_' ~ words -%}
        {# an earlier release had an index of this name over the text #}
        drop index if exists {{ relation.schema }}.{{ index }};
        alter table {{ relation }}
            add column {{ words }} tsvector generated always as (to_tsvector('english', {{ column }})) stored;
        create index {{ index }} on {{ relation }} using gin ({{ words }})
    {%- endif -%}
{%- endmacro %}
