{# Text and numbers of files that people keep in spreadsheets, which put no-break spaces and tabs around
   and into what they hold. #}
{% macro text_without_blanks(text) -%}
    trim(replace(replace({{ text }}, chr(160), ' '), chr(9), ' '))
{%- endmacro %}

{% macro number_without_blanks(text) -%}
    {{ text_to_number('replace(replace(' ~ text ~ ", chr(160), ''), chr(9), '')") }}
{%- endmacro %}
