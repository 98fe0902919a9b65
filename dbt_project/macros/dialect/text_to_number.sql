{# A number written in digits, as a double, or null where the text is anything else. Spaces around it,
   commas between thousands and a percent sign after it are left out. 1,5 is not a number in digits. #}
{% macro text_to_number(text) -%}
    case
        when {{ text_matches('trim(' ~ text ~ ')', '^-?([0-9]{1,18}|[0-9]{1,3}(,[0-9]{3}){1,5})([.][0-9]{0,17})?%?$') }}
            then cast(replace(replace(trim({{ text }}), ',', ''), '%', '') as {{ sql_type('double precision') }})
    end
{%- endmacro %}
