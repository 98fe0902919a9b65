{# The day of the week of a date: 1 is Monday, 7 is Sunday. #}
{% macro iso_day_of_week(day) -%}
    {{ adapter.dispatch('iso_day_of_week')(day) }}
{%- endmacro %}

{% macro default__iso_day_of_week(day) -%}
    extract(isodow from {{ day }})
{%- endmacro %}

{% macro spark__iso_day_of_week(day) -%}
    extract(dayofweek_iso from {{ day }})
{%- endmacro %}


{# One o'clock at night of the first Sunday of a month, by its first day. #}
{% macro first_sunday_at_one(month) -%}
    {{ return(adapter.dispatch('first_sunday_at_one')(month)) }}
{%- endmacro %}

{% macro default__first_sunday_at_one(month) -%}
    {% set at_one -%}
        {{ month }}
        + (7 - extract(isodow from {{ month }})) * interval '1 day' + interval '1 hour'
    {%- endset %}
    {{ return(at_one) }}
{%- endmacro %}

{# A date plus hours would be a timestamp with a time zone. #}
{% macro spark__first_sunday_at_one(month) -%}
    {% set at_one -%}
        cast({{ month }} as timestamp_ntz)
        + (7 - extract(dayofweek_iso from {{ month }})) * interval '1 day' + interval '1 hour'
    {%- endset %}
    {{ return(at_one) }}
{%- endmacro %}


{# dbt's macro gives a timestamp with a time zone on Spark, whatever it is given. #}
{% macro spark__date_trunc(datepart, date) -%}
    cast(date_trunc('{{ datepart }}', {{ date }}) as timestamp_ntz)
{%- endmacro %}

{# dbt's macro adds to the first day one by one, with a function that fails for timestamps without a
   time zone. The last day is left out. #}
{% macro spark__date_spine(datepart, start_date, end_date) %}
    select explode(
        sequence({{ start_date }}, {{ end_date }} - interval '1' {{ datepart }}, interval '1' {{ datepart }})
    ) as date_{{ datepart }}
{% endmacro %}
