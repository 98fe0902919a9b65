-- Grain: one trip that repeats another row of its file: a copy, a refund, or what a refund undoes.

{#- What repeats share. Null is equal to null here, so nulls become a value before they are joined:
    `is not distinct from` would keep PostgreSQL from hashing. A row that really has this value is
    only compared in vain. -#}
{%- set shared = {
    'pickup_at': "coalesce(pickup_at, timestamp '1900-01-01 00:00:00')",
    'dropoff_at': "coalesce(dropoff_at, timestamp '1900-01-01 00:00:00')",
    'trip_miles': "coalesce(trip_miles, -1)",
    'abs_total_usd': "coalesce(abs(total_usd), -1)",
} -%}

{#- All that a row says, without where it lies. -#}
{%- set said = [
    'vendor_id', 'pickup_at', 'dropoff_at', 'pickup_zone_id', 'dropoff_zone_id', 'passenger_count',
    'trip_miles', 'trip_seconds', 'rate_code_id', 'payment_type_id', 'fare_usd', 'extra_usd',
    'mta_tax_usd', 'tip_usd', 'tolls_usd', 'improvement_surcharge_usd', 'congestion_surcharge_usd',
    'airport_fee_usd', 'cbd_congestion_fee_usd', 'ehail_fee_usd', 'black_car_fund_usd',
    'sales_tax_usd', 'total_usd', 'driver_pay_usd', 'trip_type_id', 'store_and_fwd_flag',
    'request_source', 'hvfhs_license_num', 'dispatching_base_num', 'originating_base_num',
    'affiliated_base_num', 'requested_at', 'on_scene_at', 'shared_ride_flag',
    'shared_request_flag', 'shared_match_flag', 'access_a_ride_flag', 'wav_request_flag',
    'wav_match_flag', 'pickup_longitude', 'pickup_latitude', 'dropoff_longitude',
    'dropoff_latitude',
] -%}
