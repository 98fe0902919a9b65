-- Grain: one trip that repeats another row of its file: a copy, a refund, or what a refund undoes.

{{- config(**repeats_config()) }}

{%- set all_but_the_id = [] -%}
{%- for column in trip_columns() if column != 'trip_id' -%}
    {%- do all_but_the_id.append('trips.' ~ column) -%}
{%- endfor %}

-- FHV rows, and high-volume rows of CSV files, have too few columns to tell copies from other trips
{%- set tells_copies -%}
    service <> 'fhv' and (service <> 'fhvhv' or trip_miles is not null or fare_usd is not null)
{%- endset %}

with trips as (

    select * from {{ ref('int_trips') }}
    where {{ tells_copies }}

),

-- the same rows under a second name: PostgreSQL would store a CTE that is read twice, every month
-- of it, where it prunes this to the month that is built
same_trips as (

    select * from {{ ref('int_trips') }}
    where {{ tells_copies }}

),

-- Few trips share all of this with another, so only those are compared in full. Here a null equals
-- a null, but `is not distinct from` would keep PostgreSQL from hashing: so nulls become a value. A
-- row that really has this value is compared in vain, no more.
shared_keys as (

    select
        service,
        source_month,
        coalesce(pickup_at, timestamp '1900-01-01 00:00:00') as pickup_key,
        coalesce(dropoff_at, timestamp '1900-01-01 00:00:00') as dropoff_key,
        coalesce(trip_miles, -1) as miles_key,
        coalesce(abs(total_usd), -1) as total_key
    from same_trips
    group by service, source_month, pickup_key, dropoff_key, miles_key, total_key
    having count(*) > 1

),

compared as (

    select
        trips.trip_id,
        trips.service,
        trips.source_month,
        trips.total_usd,
        -- the first of equal rows is the trip, the others are copies of it
        row_number() over (
            partition by
                {{ all_but_the_id | join(', ') }}
            order by trips.trip_id
        ) as copy_number,
        -- the k-th charge is taken back by the k-th refund
        row_number() over (
            partition by
                trips.service, trips.source_month, trips.vendor_id, trips.pickup_at,
                trips.dropoff_at, trips.pickup_zone_id, trips.dropoff_zone_id, trips.trip_miles,
                trips.total_usd
            order by trips.trip_id
        ) as sign_number,
        count(case when trips.total_usd < 0 then 1 end) over (
            partition by
                trips.service, trips.source_month, trips.vendor_id, trips.pickup_at,
                trips.dropoff_at, trips.pickup_zone_id, trips.dropoff_zone_id, trips.trip_miles,
                abs(trips.total_usd)
        ) as refunds,
        count(case when trips.total_usd > 0 then 1 end) over (
            partition by
                trips.service, trips.source_month, trips.vendor_id, trips.pickup_at,
                trips.dropoff_at, trips.pickup_zone_id, trips.dropoff_zone_id, trips.trip_miles,
                abs(trips.total_usd)
        ) as charges
    from trips
    inner join shared_keys
        on
            trips.service = shared_keys.service
            and trips.source_month = shared_keys.source_month
            and coalesce(trips.pickup_at, timestamp '1900-01-01 00:00:00') = shared_keys.pickup_key
            and coalesce(trips.dropoff_at, timestamp '1900-01-01 00:00:00')
            = shared_keys.dropoff_key
            and coalesce(trips.trip_miles, -1) = shared_keys.miles_key
            and coalesce(abs(trips.total_usd), -1) = shared_keys.total_key

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
