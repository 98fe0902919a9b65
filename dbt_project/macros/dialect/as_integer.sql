{# A whole number as a 4-byte integer, or null where it does not fit, or is none (NaN, which engines
   take for the greatest): one absurd id must not stop the night. The raw row keeps the value. #}
{% macro as_integer(expression, least=-2147483648, greatest=2147483647) -%}
    case
        when {{ expression }} between {{ least }} and {{ greatest }}
            then {{ round_to_integer(expression) }}
    end
{%- endmacro %}


{# A number as the nearest integer; of two that are as near, the even one. #}
{% macro round_to_integer(expression) -%}
    {{ adapter.dispatch('round_to_integer')(expression) }}
{%- endmacro %}

{% macro default__round_to_integer(expression) -%}
    cast({{ expression }} as integer)
{%- endmacro %}

{# Spark's cast cuts the fraction off. #}
{% macro spark__round_to_integer(expression) -%}
    cast(bround({{ expression }}) as integer)
{%- endmacro %}
