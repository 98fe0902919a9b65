-- Grain: one row of a published trip file; every row is here, valid or flagged with its reason.

{{ config(materialized='by_month', partitioned=true) }}

with trips as (

    select * from {{ ref('int_trips_validated') }}

)

select
    trip_id,
    service,
    source_month,
    file_key,
    vendor_id,
    pickup_at,
    dropoff_at,
    pickup_zone_id,
    dropoff_zone_id,
    passenger_count,
    trip_miles,
    trip_seconds,
    rate_code_id,
    payment_type_id,
    fare_usd,
    extra_usd,
    mta_tax_usd,
    tip_usd,
    tolls_usd,
    improvement_surcharge_usd,
    congestion_surcharge_usd,
    airport_fee_usd,
    cbd_congestion_fee_usd,
    ehail_fee_usd,
    black_car_fund_usd,
    sales_tax_usd,
    total_usd,
    driver_pay_usd,
    trip_type_id,
    store_and_fwd_flag,
    request_source,
    hvfhs_license_num,
    dispatching_base_num,
    originating_base_num,
    affiliated_base_num,
    requested_at,
    on_scene_at,
    shared_ride_flag,
    shared_request_flag,
    shared_match_flag,
    access_a_ride_flag,
    wav_request_flag,
    wav_match_flag,
    pickup_longitude,
    pickup_latitude,
    dropoff_longitude,
    dropoff_latitude,
    invalid_reason,
    invalid_reason is null as is_valid
from trips
