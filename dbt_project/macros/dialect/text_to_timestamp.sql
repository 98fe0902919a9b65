{# A time written YYYY-MM-DD HH:MM:SS, or null where the text is anything else: one bad string must
   not stop the night. The raw row keeps the text. The same strings are read on every engine. #}
{% macro text_to_timestamp(text) -%}
    {{ adapter.dispatch('text_to_timestamp')(text) }}
{%- endmacro %}

{# A cast raises on a bad string, so a pattern is tried first, and then whether the month has such a
   day: nested, as only a case is sure to be evaluated from the outside in. #}
{% macro default__text_to_timestamp(text) -%}
    case
        when {{ text_matches(
            text,
            '^(19|20)[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01]) '
            ~ '(([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]|24:00:00)$'
        ) }}
            then case
                when
                    cast(substr({{ text }}, 9, 2) as integer) <= extract(
                        day from cast(substr({{ text }}, 1, 8) || '01' as date)
                        + interval '1 month' - interval '1 day'
                    )
                    then cast({{ text }} as timestamp)
            end
    end
{%- endmacro %}

{# Faster than the pattern for every text. try_cast alone would also read bare dates, and a blank or a
   letter in a digit's place: so what it read must be spelled as the text was. #}
{% macro duckdb__text_to_timestamp(text) -%}
    case
        when {{ text }} like '19__-__-__ __:__:__' or {{ text }} like '20__-__-__ __:__:__'
            then case
                when
                    cast(try_cast({{ text }} as timestamp) as varchar) = {{ text }}
                    or {{ text_matches(text, '^[0-9]{4}-[0-9]{2}-[0-9]{2} 24:00:00$') }}
                    then try_cast({{ text }} as timestamp)
            end
    end
{%- endmacro %}

{# No cast reads 24:00:00. #}
{% macro spark__text_to_timestamp(text) -%}
    case
        when {{ text_matches(
            text,
            '^(19|20)[0-9]{2}-[0-9]{2}-[0-9]{2} (([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]|24:00:00)$'
        ) }}
            then case
                when {{ text }} like '%24:00:00'
                    then try_cast(substr({{ text }}, 1, 10) as timestamp_ntz) + interval '1 day'
                else try_cast({{ text }} as timestamp_ntz)
            end
    end
{%- endmacro %}
