-- Grain: one row of a published trip file; the four services under the same columns.

{%- set types = trip_columns() -%}

{%- set every = [
    'trip_id', 'service', 'source_month', 'file_key', 'pickup_at', 'dropoff_at',
    'pickup_zone_id', 'dropoff_zone_id', 'trip_seconds',
] -%}
{%- set taxi = every + [
    'vendor_id', 'passenger_count', 'trip_miles', 'rate_code_id', 'payment_type_id', 'fare_usd',
    'extra_usd', 'mta_tax_usd', 'tip_usd', 'tolls_usd', 'improvement_surcharge_usd',
    'congestion_surcharge_usd', 'cbd_congestion_fee_usd', 'total_usd', 'store_and_fwd_flag',
    'request_source', 'pickup_longitude', 'pickup_latitude', 'dropoff_longitude',
    'dropoff_latitude',
] -%}
{%- set services = {
    'yellow': taxi + ['airport_fee_usd'],
    'green': taxi + ['ehail_fee_usd', 'trip_type_id'],
    'fhv': every + ['dispatching_base_num', 'affiliated_base_num', 'shared_ride_flag'],
    'fhvhv': every + [
        'hvfhs_license_num', 'dispatching_base_num', 'originating_base_num', 'requested_at',
        'on_scene_at', 'trip_miles', 'fare_usd', 'tolls_usd', 'black_car_fund_usd',
        'sales_tax_usd', 'congestion_surcharge_usd', 'airport_fee_usd', 'cbd_congestion_fee_usd',
        'tip_usd', 'driver_pay_usd', 'total_usd', 'shared_ride_flag', 'shared_request_flag',
        'shared_match_flag', 'access_a_ride_flag', 'wav_request_flag', 'wav_match_flag',
    ],
} -%}

{%- set select_lists = {} -%}
{%- for service, published in services.items() -%}
    {%- set expressions = [] -%}
    {%- for column, type in types.items() -%}
        {%- do expressions.append(
            column if column in published else 'cast(null as ' ~ type ~ ') as ' ~ column
        ) -%}
    {%- endfor -%}
    {%- do select_lists.update({service: expressions | join(',\n    ')}) -%}
{%- endfor %}

with yellow as (

    select * from {{ ref('stg_tlc__yellow_trips') }}

),

green as (

    select * from {{ ref('stg_tlc__green_trips') }}

),

fhv as (

    select * from {{ ref('stg_tlc__fhv_trips') }}

),

fhvhv as (

    select * from {{ ref('stg_tlc__fhvhv_trips') }}

)

select
    {{ select_lists.yellow }}
from yellow
union all
select
    {{ select_lists.green }}
from green
union all
select
    {{ select_lists.fhv }}
from fhv
union all
select
    {{ select_lists.fhvhv }}
from fhvhv
