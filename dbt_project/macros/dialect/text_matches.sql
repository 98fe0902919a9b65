{# Whether a text matches a regular expression. Write ^ and $: DuckDB matches the whole text, others
   any part of it. No backslashes: Spark reads them as escapes. #}
{% macro text_matches(text, pattern) -%}
    {{ adapter.dispatch('text_matches')(text, pattern) }}
{%- endmacro %}

{% macro default__text_matches(text, pattern) -%}
    {{ text }} ~ '{{ pattern }}'
{%- endmacro %}

{# Java's $ also stands before a line break at the end. #}
{% macro spark__text_matches(text, pattern) -%}
    {{ text }} rlike '(?s){{ pattern }}(?!.)'
{%- endmacro %}
