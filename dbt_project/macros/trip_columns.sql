{# Every column of a trip, with its type and the services whose staging model has it: the one list.
   int_trips gives these, whatever the service, and int_trips_validated and fct_trips add to them.
   Copies of a row are those that are equal in all but the trip_id.

   dbt wants the columns once more in YAML: as the contract of fct_trips, which gives the table its
   types, and for the descriptions of the views before it. tests/unit/test_dbt_project.py compares
   these with the list. #}
{% macro trip_columns() %}
    {%- set every = trip_services() -%}
    {%- set taxi = ['yellow', 'green'] -%}
    {%- set columns = {} -%}
    {%- for name, type, services in [
        ('trip_id', 'bigint', every),
        ('service', 'text', every),
        ('source_month', 'date', every),
        ('file_key', 'bigint', every),
        ('vendor_id', 'integer', taxi),
        ('pickup_at', 'timestamp', every),
        ('dropoff_at', 'timestamp', every),
        ('pickup_zone_id', 'integer', every),
        ('dropoff_zone_id', 'integer', every),
        ('passenger_count', 'integer', taxi),
        ('trip_miles', 'double precision', taxi + ['fhvhv']),
        ('trip_seconds', 'bigint', every),
        ('rate_code_id', 'integer', taxi),
        ('payment_type_id', 'integer', taxi),
        ('fare_usd', 'double precision', taxi + ['fhvhv']),
        ('extra_usd', 'double precision', taxi),
        ('mta_tax_usd', 'double precision', taxi),
        ('tip_usd', 'double precision', taxi + ['fhvhv']),
        ('tolls_usd', 'double precision', taxi + ['fhvhv']),
        ('improvement_surcharge_usd', 'double precision', taxi),
        ('congestion_surcharge_usd', 'double precision', taxi + ['fhvhv']),
        ('airport_fee_usd', 'double precision', ['yellow', 'fhvhv']),
        ('cbd_congestion_fee_usd', 'double precision', taxi + ['fhvhv']),
        ('ehail_fee_usd', 'double precision', ['green']),
        ('black_car_fund_usd', 'double precision', ['fhvhv']),
        ('sales_tax_usd', 'double precision', ['fhvhv']),
        ('total_usd', 'double precision', taxi + ['fhvhv']),
        ('driver_pay_usd', 'double precision', ['fhvhv']),
        ('trip_type_id', 'integer', ['green']),
        ('store_and_fwd_flag', 'text', taxi),
        ('request_source', 'text', taxi),
        ('hvfhs_license_num', 'text', ['fhvhv']),
        ('dispatching_base_num', 'text', ['fhv', 'fhvhv']),
        ('originating_base_num', 'text', ['fhvhv']),
        ('affiliated_base_num', 'text', ['fhv']),
        ('requested_at', 'timestamp', ['fhvhv']),
        ('on_scene_at', 'timestamp', ['fhvhv']),
        ('shared_ride_flag', 'integer', ['fhv', 'fhvhv']),
        ('shared_request_flag', 'text', ['fhvhv']),
        ('shared_match_flag', 'text', ['fhvhv']),
        ('access_a_ride_flag', 'text', ['fhvhv']),
        ('wav_request_flag', 'text', ['fhvhv']),
        ('wav_match_flag', 'text', ['fhvhv']),
        ('pickup_longitude', 'double precision', taxi),
        ('pickup_latitude', 'double precision', taxi),
        ('dropoff_longitude', 'double precision', taxi),
        ('dropoff_latitude', 'double precision', taxi),
    ] -%}
        {%- do columns.update({name: {'type': type, 'services': services}}) -%}
    {%- endfor -%}
    {{ return(columns) }}
{% endmacro %}
