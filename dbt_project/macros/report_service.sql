{# The service whose files hold the trips of a licence class of TLC's monthly report, or null where
   none does. Until 2019-01 the FHV files held the high-volume trips too. #}
{% macro report_service(license_class, month) -%}
    case
        when lower({{ license_class }}) = 'yellow' then 'yellow'
        when lower({{ license_class }}) = 'green' then 'green'
        when lower({{ license_class }}) = 'fhv - high volume' and {{ month }} >= date '2019-02-01'
            then 'fhvhv'
        when lower({{ license_class }}) like 'fhv%' then 'fhv'
    end
{%- endmacro %}
