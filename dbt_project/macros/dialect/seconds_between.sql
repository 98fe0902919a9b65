{# Seconds from one timestamp to another by the clock, fractions left out, as a bigint; negative where
   the second is earlier. #}
{% macro seconds_between(earlier, later) -%}
    {{ adapter.dispatch('seconds_between')(earlier, later) }}
{%- endmacro %}

{# An interval cannot be as long as the time from the first year to the last: what is so far off is
   counted from the epoch, which is slower. #}
{% macro default__seconds_between(earlier, later) -%}
    case
        when
            {{ earlier }} between timestamp '1000-01-01' and timestamp '9999-01-01'
            and {{ later }} between timestamp '1000-01-01' and timestamp '9999-01-01'
            then cast(
                extract(
                    epoch from date_trunc('second', {{ later }}) - date_trunc('second', {{ earlier }})
                ) as bigint
            )
        else cast(
            floor(extract(epoch from {{ later }})) - floor(extract(epoch from {{ earlier }})) as bigint
        )
    end
{%- endmacro %}

{% macro duckdb__seconds_between(earlier, later) -%}
    date_diff('second', {{ earlier }}, {{ later }})
{%- endmacro %}

{% macro spark__seconds_between(earlier, later) -%}
    timestampdiff(second, date_trunc('second', {{ earlier }}), date_trunc('second', {{ later }}))
{%- endmacro %}
