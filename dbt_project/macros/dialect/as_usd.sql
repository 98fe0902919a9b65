{# A sum of dollars, rounded to cents once: raw doubles carry errors far below a cent, so this is
   exact and the same on every engine. #}
{% macro as_usd(expression) -%}
    cast(round(cast({{ expression }} as decimal(28, 8)), 2) as decimal(18, 2))
{%- endmacro %}
