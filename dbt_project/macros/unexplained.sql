{# What the total of a taxi trip is more than its parts, in USD; below 0 where the parts are more. Null
   without a total. It is a sum of doubles: as_usd makes cents of it. #}
{% macro unexplained() -%}
    {%- set parts = [] -%}
    {%- for part in [
        'fare_usd',
        'extra_usd',
        'mta_tax_usd',
        'tip_usd',
        'tolls_usd',
        'improvement_surcharge_usd',
        'congestion_surcharge_usd',
        'airport_fee_usd',
        'cbd_congestion_fee_usd',
        'ehail_fee_usd',
    ] -%}
        {%- do parts.append('(-' ~ part ~ ')') -%}
    {%- endfor -%}
    {{ total_of('total_usd', parts) }}
{%- endmacro %}
