{#
  Which models of trips are tables, and what is built from which.

  Spark needs more tables than the facts. The files of hundreds of months have dozens of sets of columns, and the
  facts read a trip up to six times. From the files, each time is a union of all these sets, which takes seconds to
  plan; and Spark does not take a month through such a union to the other side of a join, so it would read all
  months. The repeats are a small table for the same reason: Spark takes a month to the other side of one join, and
  not of a join within that one.
#}


{# The config of a table of trips that is built month by month from the files. #}
{% macro by_trip_file() %}
    {{ return({
        'materialized': 'by_month',
        'datasets': trip_services(),
        'partitioned': true,
        'also_built_from': {'dataset': 'taxi_zone_cells', 'columns': ['pickup_longitude', 'start_lon']}
    }) }}
{% endmacro %}


{# The config of the facts. #}
{% macro facts_config() %}
    {{ return(adapter.dispatch('facts_config')()) }}
{% endmacro %}

{% macro default__facts_config() %}
    {{ return(by_trip_file()) }}
{% endmacro %}

{% macro spark__facts_config() %}
    {{ return(dict(by_trip_file(), built_from='int_trips')) }}
{% endmacro %}


{# The config of the trips of all services under the same columns: a view or a table. #}
{% macro trips_config() %}
    {{ return(adapter.dispatch('trips_config')()) }}
{% endmacro %}

{% macro default__trips_config() %}
    {{ return({'materialized': 'view'}) }}
{% endmacro %}

{% macro spark__trips_config() %}
    {{ return(by_trip_file()) }}
{% endmacro %}


{# The config of the trips that repeat another row: a view or a table. #}
{% macro repeats_config() %}
    {{ return(adapter.dispatch('repeats_config')()) }}
{% endmacro %}

{% macro default__repeats_config() %}
    {{ return({'materialized': 'view'}) }}
{% endmacro %}

{% macro spark__repeats_config() %}
    {{ return({'materialized': 'by_month', 'built_from': 'int_trips'}) }}
{% endmacro %}


{# The trips of one service, from where the engine reads them at least cost. #}
{% macro trips_of(service) %}
    {{ return(adapter.dispatch('trips_of')(service)) }}
{% endmacro %}

{% macro default__trips_of(service) %}
    {{ return(ref('stg_tlc__' ~ service ~ '_trips')) }}
{% endmacro %}

{% macro spark__trips_of(service) %}
    {{ return("(select * from " ~ ref('int_trips') ~ " where service = '" ~ service ~ "') as trips") }}
{% endmacro %}
