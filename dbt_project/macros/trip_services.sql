{# The services whose rows are trips: TLC's datasets of a file a month. #}
{% macro trip_services() %}
    {{ return(['yellow', 'green', 'fhv', 'fhvhv']) }}
{% endmacro %}
