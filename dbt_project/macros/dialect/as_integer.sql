{# A whole number as a 4-byte integer, or null where it does not fit, or is none (NaN, which engines
   take for the greatest): one absurd id must not stop the night. The raw row keeps the value. #}
{% macro as_integer(expression, least=-2147483648, greatest=2147483647) -%}
    case
        when {{ expression }} between {{ least }} and {{ greatest }}
            then cast({{ expression }} as integer)
    end
{%- endmacro %}
