-- What one month of yellow comes to, written by hand for that month alone: raw, facts, marts, counts.

create table raw_month as select * from read_parquet('{file}');

create table fct_trips as
with trips as (
    select
        cast(1 as bigint) * 100000000000000000 + cast(202501 as bigint) * 100000000000 + rowid as trip_id,
        'yellow' as service,
        date '2025-01-01' as source_month,
        cast(1 as bigint) as file_key,
        VendorID as vendor_id,
        tpep_pickup_datetime as pickup_at,
        tpep_dropoff_datetime as dropoff_at,
        PULocationID as pickup_zone_id,
        DOLocationID as dropoff_zone_id,
        cast(passenger_count as integer) as passenger_count,
        trip_distance as trip_miles,
        date_diff('second', tpep_pickup_datetime, tpep_dropoff_datetime) as trip_seconds,
        cast(RatecodeID as integer) as rate_code_id,
        cast(payment_type as integer) as payment_type_id,
        fare_amount as fare_usd,
        extra as extra_usd,
        mta_tax as mta_tax_usd,
        tip_amount as tip_usd,
        tolls_amount as tolls_usd,
        improvement_surcharge as improvement_surcharge_usd,
        congestion_surcharge as congestion_surcharge_usd,
        Airport_fee as airport_fee_usd,
        cbd_congestion_fee as cbd_congestion_fee_usd,
        total_amount as total_usd,
        store_and_fwd_flag
    from raw_month
),

shared_keys as (
    select pickup_at, dropoff_at, trip_miles, abs(total_usd) as abs_total_usd
    from trips
    group by all
    having count(*) > 1
),

repeats as (
    select
        trips.trip_id,
        trips.total_usd,
        row_number() over (
            partition by service, source_month, file_key, vendor_id, trips.pickup_at, trips.dropoff_at, pickup_zone_id,
                dropoff_zone_id, passenger_count, trips.trip_miles, trip_seconds, rate_code_id,
                payment_type_id, fare_usd, extra_usd, mta_tax_usd, tip_usd, tolls_usd,
                improvement_surcharge_usd, congestion_surcharge_usd, airport_fee_usd,
                cbd_congestion_fee_usd, trips.total_usd, store_and_fwd_flag
            order by trip_id
        ) as copy_number,
        row_number() over (
            partition by vendor_id, trips.pickup_at, trips.dropoff_at, pickup_zone_id,
                dropoff_zone_id, trips.trip_miles, trips.total_usd
            order by trip_id
        ) as sign_number,
        count(*) filter (where trips.total_usd < 0) over same_trip as refunds,
        count(*) filter (where trips.total_usd > 0) over same_trip as charges
    from trips
    semi join shared_keys
        on trips.pickup_at = shared_keys.pickup_at
        and trips.dropoff_at = shared_keys.dropoff_at
        and trips.trip_miles = shared_keys.trip_miles
        and abs(trips.total_usd) = shared_keys.abs_total_usd
    window same_trip as (
        partition by vendor_id, trips.pickup_at, trips.dropoff_at, pickup_zone_id, dropoff_zone_id,
            trips.trip_miles, abs(trips.total_usd)
    )
),

flagged as (
    select
        trips.*,
        case
            when pickup_at is null then 'missing_pickup_time'
            when pickup_at < source_month or pickup_at >= source_month + interval '1 month'
                then 'pickup_outside_month'
            when dropoff_at is null then 'missing_dropoff_time'
            when dropoff_at < pickup_at then 'dropoff_before_pickup'
            when trip_seconds > 86400 then 'duration_over_24h'
            when trip_seconds = 0 and trip_miles = 0 then 'no_time_no_distance'
            when coalesce(pickup_zone_id, 0) not between 1 and 265
                or coalesce(dropoff_zone_id, 0) not between 1 and 265 then 'unknown_zone'
            when trip_miles < 0 then 'negative_distance'
            when trip_miles > 300 then 'impossible_distance'
            when trip_seconds >= 60 and trip_miles * 3600 > 100.0 * trip_seconds
                then 'impossible_speed'
            when repeats.total_usd < 0 and sign_number <= charges then 'refund'
            when repeats.total_usd > 0 and sign_number <= refunds then 'refunded_charge'
            when trips.total_usd < 0 then 'negative_total'
            when trips.total_usd > 1000 then 'implausible_total'
            when copy_number > 1 then 'duplicate_row'
        end as invalid_reason
    from trips
    left join repeats using (trip_id)
)

select *, invalid_reason is null as is_valid from flagged;

create table daily_trips as
select
    service,
    cast(pickup_at as date) as pickup_date,
    count(*) as trips,
    sum(passenger_count) as passengers,
    sum(trip_miles) as trip_miles,
    avg(trip_miles) as avg_trip_miles,
    avg(trip_seconds) filter (where trip_seconds > 0 and trip_seconds < 21600) / 60 as avg_minutes,
    median(trip_seconds) filter (where trip_seconds > 0 and trip_seconds < 21600) / 60 as median_minutes,
    round(sum(fare_usd), 2) as fare_usd,
    round(sum(tip_usd), 2) as tip_usd,
    round(sum(total_usd), 2) as total_usd,
    count(*) filter (where payment_type_id = 1) as card_trips
from fct_trips
where is_valid
group by all;

create table hourly_zone_demand as
select
    service,
    pickup_zone_id,
    date_trunc('hour', pickup_at) as pickup_hour,
    count(*) as trips,
    sum(passenger_count) as passengers,
    avg(trip_miles) as avg_trip_miles,
    avg(trip_seconds) filter (where trip_seconds > 0 and trip_seconds < 21600) / 60 as avg_minutes,
    round(sum(total_usd), 2) as total_usd
from fct_trips
where is_valid
group by all;

create table monthly_zone_revenue as
select
    service,
    source_month,
    pickup_zone_id,
    count(*) as trips,
    round(sum(fare_usd), 2) as fare_usd,
    round(sum(extra_usd), 2) as extra_usd,
    round(sum(mta_tax_usd), 2) as mta_tax_usd,
    round(sum(tip_usd), 2) as tip_usd,
    round(sum(tolls_usd), 2) as tolls_usd,
    round(sum(improvement_surcharge_usd), 2) as improvement_surcharge_usd,
    round(sum(congestion_surcharge_usd), 2) as congestion_surcharge_usd,
    round(sum(airport_fee_usd), 2) as airport_fee_usd,
    round(sum(cbd_congestion_fee_usd), 2) as cbd_congestion_fee_usd,
    round(sum(total_usd), 2) as total_usd,
    avg(total_usd) as avg_total_usd,
    count(*) filter (where payment_type_id in (3, 4)) as unpaid_trips,
    round(sum(total_usd) filter (where payment_type_id in (3, 4)), 2) as unpaid_usd
from fct_trips
where is_valid
group by all;

create table counts as
select service, source_month, invalid_reason, count(*) as fact_rows from fct_trips group by all;
