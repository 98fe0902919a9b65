{# What is no number that can be counted with: NaN, which engines take for the greatest of all, and the
   infinities. One of them in a sum is all that is left of the sum. #}

{# The largest of doubles without their signs; NaN where one of them is. Nulls are left out. #}
{% macro largest(columns) -%}
    greatest({% for column in columns %}abs({{ column }}){{ ', ' if not loop.last }}{% endfor %})
{%- endmacro %}

{# Whether one of these doubles is NaN or infinite. #}
{% macro any_not_finite(columns) -%}
    {{ largest(columns) }} > 1.7976931348623157e308
{%- endmacro %}

{# A double that is finite, or null. #}
{% macro finite(expression) -%}
    case when abs({{ expression }}) <= 1.7976931348623157e308 then {{ expression }} end
{%- endmacro %}

{# The sum of doubles, a null among them for nothing, or null where it has no end: PostgreSQL fails
   where a sum is too large for a double. Null too where the first is null. #}
{% macro total_of(first, others) -%}
    case
        when {{ largest([first] + others) }} < 1e300
            then {{ first }}{% for column in others %} + coalesce({{ column }}, 0){% endfor %}
    end
{%- endmacro %}

{# A double divided by another. Where the first is next to nothing, the quotient is 0: PostgreSQL fails where a
   quotient is too small for a double. #}
{% macro quotient(dividend, divisor) -%}
    case when abs({{ dividend }}) < 1e-200 then 0 else {{ dividend }} / {{ divisor }} end
{%- endmacro %}
