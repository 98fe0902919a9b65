-- Grain: one row of a published green file.

with trips as (

    select * from {{ source('tlc', 'green_tripdata') }}

)

select
    'green' as service,
    source_month,
    file_key,
    {{ trip_id('green') }} as trip_id,
    {{ as_integer('vendorid') }} as vendor_id,
    lpep_pickup_datetime as pickup_at,
    lpep_dropoff_datetime as dropoff_at,
    {{ seconds_between('lpep_pickup_datetime', 'lpep_dropoff_datetime') }} as trip_seconds,
    {{ as_integer('pulocationid') }} as pickup_zone_id,
    {{ as_integer('dolocationid') }} as dropoff_zone_id,
    -- files of before mid-2016, as CSV, give these in place of zones
    {{ finite('pickup_longitude') }} as pickup_longitude,
    {{ finite('pickup_latitude') }} as pickup_latitude,
    {{ finite('dropoff_longitude') }} as dropoff_longitude,
    {{ finite('dropoff_latitude') }} as dropoff_latitude,
    -- a byte in the meter: what is far beyond is no count of passengers
    {{ as_integer('passenger_count', 0, 1000) }} as passenger_count,
    trip_distance as trip_miles,
    {{ as_integer('ratecodeid') }} as rate_code_id,
    {{ as_integer('payment_type') }} as payment_type_id,
    {{ as_integer('trip_type') }} as trip_type_id,
    store_and_fwd_flag,
    fare_amount as fare_usd,
    extra as extra_usd,
    mta_tax as mta_tax_usd,
    tip_amount as tip_usd,
    tolls_amount as tolls_usd,
    ehail_fee as ehail_fee_usd,
    improvement_surcharge as improvement_surcharge_usd,
    congestion_surcharge as congestion_surcharge_usd,
    cbd_congestion_fee as cbd_congestion_fee_usd,
    total_amount as total_usd,
    request_source
from trips
