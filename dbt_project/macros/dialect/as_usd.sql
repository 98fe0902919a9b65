{# A sum of dollars, rounded to cents once: raw doubles carry errors far below a cent, so this is
   exact and the same on every engine. Null where it is no sum of dollars: one absurd amount must not
   stop the night. #}
{% macro as_usd(expression) -%}
    cast(
        case
            when abs({{ expression }}) < 1e15
                then round(cast({{ expression }} as decimal(28, 8)), 2)
        end as decimal(18, 2)
    )
{%- endmacro %}
