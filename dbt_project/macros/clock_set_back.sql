{# Whether the clocks may have been set back between a pickup and a dropoff. On the first Sunday of
   November (since 2007, 15 U.S.C. 260a) the hour from 01:00 comes twice, and nothing says which of
   the two a time is in: the dropoff may be an hour too early by the clock, even before the pickup. #}
{% macro clock_may_be_set_back(source_month, pickup_at, dropoff_at) -%}
    {%- set at_one = first_sunday_at_one(source_month) -%}
    (
        extract(month from {{ source_month }}) = 11
        and {{ pickup_at }} < {{ at_one }} + interval '1 hour'
        and {{ dropoff_at }} >= {{ at_one }}
    )
{%- endmacro %}
