{# Averages of duration leave out trips without one and trips of six hours or more, as TLC's own
   report does: they are ordinary trips with a wrong dropoff stamp. What is below zero, where the
   clocks were set back on the way, is no duration either. #}
{% macro timed_average(seconds) -%}
    avg(case when {{ seconds }} > 0 and {{ seconds }} < 21600 then {{ seconds }} end)
{%- endmacro %}

{% macro timed_median(seconds) -%}
    percentile_cont(0.5) within group (
        order by case when {{ seconds }} > 0 and {{ seconds }} < 21600 then {{ seconds }} end
    )
{%- endmacro %}
