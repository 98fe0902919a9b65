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
    cast(sum({{ numbers }}) as {{ sql_type('double precision') }}) / count({{ numbers }})
{%- endmacro %}

{# The median of whole numbers. #}
{% macro median(expression) -%}
    percentile_cont(0.5) within group (order by {{ expression }})
{%- endmacro %}

{# A double, rounded: engines differ in the last digit of what was divided or lies between two. #}
{% macro rounded(expression, digits) -%}
    cast(round(cast({{ expression }} as decimal(28, 8)), {{ digits }}) as {{ sql_type('double precision') }})
{%- endmacro %}

{# The median of doubles. #}
{% macro rounded_median(expression, digits) -%}
    {{ rounded(median(expression), digits) }}
{%- endmacro %}

{# The average of figures of unequal weight, to 6 digits; figures that are not there have no weight. #}
{% macro weighted_average(figure, weight) -%}
    {{ rounded(
        'sum(' ~ figure ~ ' * ' ~ weight ~ ') / nullif(sum(case when ' ~ figure
        ~ ' is not null then ' ~ weight ~ ' end), 0)', 6
    ) }}
{%- endmacro %}
