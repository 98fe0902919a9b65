{# A whole number as a 4-byte integer, or null where it does not fit: one absurd id must not stop
   the night. The raw row keeps the value. #}
{% macro as_integer(expression) -%}
    case
        when {{ expression }} between -2147483648 and 2147483647
            then cast({{ expression }} as integer)
    end
{%- endmacro %}
