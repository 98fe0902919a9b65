{# The sum of miles, exact to the thousandth of a mile, in which high-volume trips are published. It
   adds whole numbers: a sum of doubles differs in its last digits from run to run, with the order in
   which threads come to an end. For valid trips only, whose miles are few enough for a bigint. #}
{% macro sum_miles(miles) -%}
    cast(sum(cast(floor({{ miles }} * 1000 + 0.5) as bigint)) as {{ sql_type('double precision') }}) / 1000
{%- endmacro %}

{# Their average, from the exact sum, so that it is the same in every run and on every engine. #}
{% macro average_miles(miles) -%}
    {{ sum_miles(miles) }} / count({{ miles }})
{%- endmacro %}
