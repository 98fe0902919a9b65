{# Counts that are null where the files do not say. #}

{# Rows of the condition, where the file has the column at all. #}
{% macro count_where_told(column, condition) -%}
    case when count({{ column }}) > 0 then count(case when {{ condition }} then 1 end) end
{%- endmacro %}

{# Rows of the condition among yellow and green trips: the others do not say how a trip was paid. #}
{% macro count_of_taxis(condition) -%}
    case
        when service in ('yellow', 'green') then count(case when {{ condition }} then 1 end)
    end
{%- endmacro %}

{# The average of whole numbers, from their exact sum, so that engines agree to the last digit. #}
{% macro average_count(numbers) -%}
    cast(sum({{ numbers }}) as double precision) / count({{ numbers }})
{%- endmacro %}

{# The median of whole numbers. #}
{% macro median(expression) -%}
    percentile_cont(0.5) within group (order by {{ expression }})
{%- endmacro %}

{# The median of doubles, rounded: engines differ in the last digit where it lies between two. #}
{% macro rounded_median(expression, digits) -%}
    cast(round(cast({{ median(expression) }} as decimal(28, 8)), {{ digits }}) as double precision)
{%- endmacro %}
