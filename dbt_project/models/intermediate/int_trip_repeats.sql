-- Grain: one trip that repeats another row of its file: a copy, a refund, or what a refund takes back.

with trips as (

    select * from {{ ref('int_trips') }}
    -- FHV rows have too few columns to tell a copy from another trip
    where service <> 'fhv'

),

-- few trips share all of this with another, so only those are compared in full
shared_keys as (

    select
        service,
        source_month,
        pickup_at,
        dropoff_at,
        trip_miles,
        abs(total_usd) as abs_total_usd
    from trips
    group by service, source_month, pickup_at, dropoff_at, trip_miles, abs(total_usd)
    having count(*) > 1

),

candidates as (

    select trips.*
    from trips
    inner join shared_keys
        on
            trips.service = shared_keys.service
            and trips.source_month = shared_keys.source_month
            and trips.pickup_at = shared_keys.pickup_at
            and trips.dropoff_at = shared_keys.dropoff_at
            and trips.trip_miles = shared_keys.trip_miles
            and abs(trips.total_usd) = shared_keys.abs_total_usd

),

compared as (

    select
        trip_id,
        service,
        source_month,
        total_usd,
        -- the first of equal rows is the trip, the others are copies of it
        row_number() over (
            partition by
                service, source_month, file_key, vendor_id, pickup_at,
                dropoff_at, pickup_zone_id, dropoff_zone_id, passenger_count,
                trip_miles, trip_seconds, rate_code_id, payment_type_id,
                fare_usd, extra_usd, mta_tax_usd, tip_usd, tolls_usd,
                improvement_surcharge_usd, congestion_surcharge_usd,
                airport_fee_usd, cbd_congestion_fee_usd, ehail_fee_usd,
                black_car_fund_usd, sales_tax_usd, total_usd, driver_pay_usd,
                trip_type_id, store_and_fwd_flag, request_source,
                hvfhs_license_num, dispatching_base_num, originating_base_num,
                affiliated_base_num, requested_at, on_scene_at,
                shared_ride_flag, shared_request_flag, shared_match_flag,
                access_a_ride_flag, wav_request_flag, wav_match_flag,
                pickup_longitude, pickup_latitude, dropoff_longitude,
                dropoff_latitude
            order by trip_id
        ) as copy_number,
        -- the k-th charge is taken back by the k-th refund
        row_number() over (
            partition by
                service, source_month, vendor_id, pickup_at, dropoff_at, pickup_zone_id,
                dropoff_zone_id, trip_miles, total_usd
            order by trip_id
        ) as sign_number,
        count(case when total_usd < 0 then 1 end) over (
            partition by
                service, source_month, vendor_id, pickup_at, dropoff_at, pickup_zone_id,
                dropoff_zone_id, trip_miles, abs(total_usd)
        ) as refunds,
        count(case when total_usd > 0 then 1 end) over (
            partition by
                service, source_month, vendor_id, pickup_at, dropoff_at, pickup_zone_id,
                dropoff_zone_id, trip_miles, abs(total_usd)
        ) as charges
    from candidates

),

explained as (

    select
        trip_id,
        service,
        source_month,
        case
            when service in ('yellow', 'green') and total_usd < 0 and sign_number <= charges
                then 'refund'
            when service in ('yellow', 'green') and total_usd > 0 and sign_number <= refunds
                then 'refunded_charge'
            when copy_number > 1
                then 'duplicate_row'
        end as repeat_reason
    from compared

)

select
    trip_id,
    service,
    source_month,
    repeat_reason
from explained
where repeat_reason is not null
