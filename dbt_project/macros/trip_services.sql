{# The services whose rows are trips: TLC's datasets of a file a month. #}
{% macro trip_services() %}
    {{ return(['yellow', 'green', 'fhv', 'fhvhv']) }}
{% endmacro %}


{# The config of a table of trips that is built month by month from the files. #}
{% macro by_trip_file() %}
    {{ return({
        'materialized': 'by_month',
        'datasets': trip_services(),
        'partitioned': true,
        'also_built_from': {'dataset': 'taxi_zone_cells', 'columns': ['pickup_longitude', 'start_lon']}
    }) }}
{% endmacro %}


{# The trips of one service, from where the engine reads them at least cost. #}
{% macro trips_of(service) -%}
    {%- if target.type == 'spark' -%}
        (select * from {{ ref('int_trips') }} where service = '{{ service }}') as trips
    {%- else -%}
        {{ ref('stg_tlc__' ~ service ~ '_trips') }}
    {%- endif -%}
{%- endmacro %}
