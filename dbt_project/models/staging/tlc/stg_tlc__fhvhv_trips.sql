-- Grain: one row of a published high-volume FHV file.

with trips as (

    select * from {{ source('tlc', 'fhvhv_tripdata') }}

)

select
    'fhvhv' as service,
    source_month,
    file_key,
    {{ trip_id('fhvhv') }} as trip_id,
    hvfhs_license_num,
    dispatching_base_num,
    originating_base_num,
    request_datetime as requested_at,
    on_scene_datetime as on_scene_at,
    pickup_datetime as pickup_at,
    dropoff_datetime as dropoff_at,
    {{ as_integer('pulocationid') }} as pickup_zone_id,
    {{ as_integer('dolocationid') }} as dropoff_zone_id,
    trip_miles,
    -- the CSV files have neither this nor fares
    coalesce(trip_time, {{ seconds_between('pickup_datetime', 'dropoff_datetime') }})
        as trip_seconds,
    base_passenger_fare as fare_usd,
    tolls as tolls_usd,
    bcf as black_car_fund_usd,
    sales_tax as sales_tax_usd,
    congestion_surcharge as congestion_surcharge_usd,
    airport_fee as airport_fee_usd,
    cbd_congestion_fee as cbd_congestion_fee_usd,
    tips as tip_usd,
    driver_pay as driver_pay_usd,
    -- what the passenger paid; TLC publishes its parts and no total
    {{ total_of('base_passenger_fare', [
        'tolls', 'bcf', 'sales_tax', 'congestion_surcharge', 'airport_fee', 'cbd_congestion_fee', 'tips',
    ]) }} as total_usd,
    {{ as_integer('sr_flag') }} as shared_ride_flag,
    shared_request_flag,
    shared_match_flag,
    access_a_ride_flag,
    wav_request_flag,
    wav_match_flag
from trips
