-- Grain: one row of a published yellow file.

with trips as (

    select * from {{ source('tlc', 'yellow_tripdata') }}

),

-- the files of 2009 and 2010 write times, rates and payments as text
parsed as (

    select
        *,
        coalesce(
            tpep_pickup_datetime,
            {{ text_to_timestamp('coalesce(trip_pickup_datetime, pickup_datetime)') }}
        ) as pickup_at,
        coalesce(
            tpep_dropoff_datetime,
            {{ text_to_timestamp('coalesce(trip_dropoff_datetime, dropoff_datetime)') }}
        ) as dropoff_at,
        coalesce(ratecodeid, {{ text_to_number('rate_code') }}) as rate_code_number,
        lower(trim(payment_type)) as payment_word
    from trips

)

select
    'yellow' as service,
    source_month,
    file_key,
    {{ trip_id('yellow') }} as trip_id,
    -- the files of 2009 and 2010 give the vendor's name
    coalesce(
        {{ as_integer('vendorid') }},
        case coalesce(vendor_name, vendor_id)
            when 'CMT' then 1
            when 'VTS' then 2
            when 'DDS' then 3
        end
    ) as vendor_id,
    pickup_at,
    dropoff_at,
    {{ seconds_between('pickup_at', 'dropoff_at') }} as trip_seconds,
    {{ as_integer('pulocationid') }} as pickup_zone_id,
    {{ as_integer('dolocationid') }} as dropoff_zone_id,
    {{ finite('coalesce(start_lon, pickup_longitude)') }} as pickup_longitude,
    {{ finite('coalesce(start_lat, pickup_latitude)') }} as pickup_latitude,
    {{ finite('coalesce(end_lon, dropoff_longitude)') }} as dropoff_longitude,
    {{ finite('coalesce(end_lat, dropoff_latitude)') }} as dropoff_latitude,
    -- a byte in the meter: what is far beyond is no count of passengers
    {{ as_integer('passenger_count', 0, 1000) }} as passenger_count,
    trip_distance as trip_miles,
    {{ as_integer('rate_code_number') }} as rate_code_id,
    case
        when payment_word in ('0', '1', '2', '3', '4', '5', '6') then cast(payment_word as integer)
        when payment_word in ('credit', 'cre', 'crd') then 1
        when payment_word in ('cash', 'cas', 'csh') then 2
        when payment_word in ('no charge', 'noc', 'no') then 3
        when payment_word in ('dispute', 'dis') then 4
        when payment_word in ('unknown', 'unk', 'na') then 5
        else {{ as_integer(text_to_number('payment_word')) }}
    end as payment_type_id,
    -- 1 and 0 in 2009, as text until mid-2010, letters since
    case
        when store_and_fwd_flag = '1' or store_and_forward = 1 then 'Y'
        when store_and_fwd_flag = '0' or store_and_forward = 0 then 'N'
        else store_and_fwd_flag
    end as store_and_fwd_flag,
    coalesce(fare_amount, fare_amt) as fare_usd,
    coalesce(extra, surcharge) as extra_usd,
    mta_tax as mta_tax_usd,
    coalesce(tip_amount, tip_amt) as tip_usd,
    coalesce(tolls_amount, tolls_amt) as tolls_usd,
    improvement_surcharge as improvement_surcharge_usd,
    congestion_surcharge as congestion_surcharge_usd,
    airport_fee as airport_fee_usd,
    cbd_congestion_fee as cbd_congestion_fee_usd,
    coalesce(total_amount, total_amt) as total_usd,
    request_source
from parsed
