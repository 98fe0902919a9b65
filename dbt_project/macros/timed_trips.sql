{# Averages of duration leave out trips without one and trips of six hours or more, as TLC's own
   report does: they are ordinary trips with a wrong dropoff stamp. What is below zero, where the
   clocks were set back on the way, is no duration either. #}
{% macro timed(seconds) -%}
    case when {{ seconds }} > 0 and {{ seconds }} < 21600 then {{ seconds }} end
{%- endmacro %}

{# Its weight is the count of `timed`. #}
{% macro timed_average(seconds) -%}
    {{ average_count(timed(seconds)) }}
{%- endmacro %}

{% macro timed_median(seconds) -%}
    {{ median(timed(seconds)) }}
{%- endmacro %}
