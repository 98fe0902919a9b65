-- Grain: one row of a published trip file, with the first rule that it fails.

{%- set may_be_an_hour_short = clock_may_be_set_back(
    'trips.source_month', 'trips.pickup_at', 'trips.dropoff_at'
) %}

{%- set zones = ['pickup_zone_id', 'dropoff_zone_id'] -%}

{%- set columns = [] -%}
{%- for column in trip_columns() -%}
    {%- do columns.append(
        'coalesce(trips.' ~ column ~ ', trip_zones.' ~ column ~ ') as ' ~ column
        if column in zones else 'trips.' ~ column
    ) -%}
{%- endfor -%}

{%- set amounts = [] -%}
{%- for column in trip_columns() if column.endswith('_usd') -%}
    {%- do amounts.append('trips.' ~ column) -%}
{%- endfor %}

with trips as (

    select * from {{ ref('int_trips') }}

),

repeats as (

    select * from {{ ref('int_trip_repeats') }}

),

trip_zones as (

    select * from {{ ref('int_trip_zones') }}

)

select
    {{ columns | join(',\n    ') }},
    -- the rules in their order; seeds/invalid_reasons.csv says what each means and where it is from
    case
        when trips.pickup_at is null
            then 'missing_pickup_time'
        when
            trips.pickup_at < trips.source_month
            or trips.pickup_at >= trips.source_month + interval '1 month'
            then 'pickup_outside_month'
        when trips.service <> 'fhv' and trips.dropoff_at is null
            then 'missing_dropoff_time'
        when
            (trips.dropoff_at < trips.pickup_at or trips.trip_seconds < 0)
            and not {{ may_be_an_hour_short }}
            then 'dropoff_before_pickup'
        when trips.trip_seconds > 86400
            then 'duration_over_24h'
        when trips.service <> 'fhv' and trips.trip_seconds = 0 and trips.trip_miles = 0
            then 'no_time_no_distance'
        when
            trips.service <> 'fhv'
            -- yellow files of before 2011, and CSV files of before mid-2016, give coordinates in
            -- place of zones
            and not (trips.service = 'yellow' and trips.source_month < date '2011-01-01')
            and trips.pickup_longitude is null
            and (
                coalesce(trips.pickup_zone_id, 0) not between 1 and 265
                or coalesce(trips.dropoff_zone_id, 0) not between 1 and 265
            )
            then 'unknown_zone'
        when {{ any_not_finite(amounts + ['trips.trip_miles']) }}
            then 'not_a_number'
        when trips.trip_miles < 0
            then 'negative_distance'
        when trips.trip_miles > case when trips.service = 'fhvhv' then 2400 else 300 end
            then 'impossible_distance'
        when
            trips.trip_seconds >= 60
            and trips.trip_miles * 3600 > 100.0 * trips.trip_seconds
            and not (
                {{ may_be_an_hour_short }}
                and trips.trip_miles * 3600 <= 100.0 * (trips.trip_seconds + 3600)
            )
            then 'impossible_speed'
        when repeats.repeat_reason in ('refund', 'refunded_charge')
            then repeats.repeat_reason
        when trips.service in ('yellow', 'green') and trips.total_usd < 0
            then 'negative_total'
        when trips.service in ('yellow', 'green') and trips.total_usd > 1000
            then 'implausible_total'
        when {{ largest(amounts) }} > 100000
            then 'implausible_amount'
        when repeats.repeat_reason = 'duplicate_row'
            then 'duplicate_row'
    end as invalid_reason,
    case
        when coalesce(trips.pickup_zone_id, trips.dropoff_zone_id) is not null then 'published'
        when trip_zones.trip_id is not null then 'coordinates'
    end as zone_source
from trips
left join repeats
    on
        trips.trip_id = repeats.trip_id
        and trips.service = repeats.service
        and trips.source_month = repeats.source_month
left join trip_zones
    on
        trips.trip_id = trip_zones.trip_id
        and trips.service = trip_zones.service
        and trips.source_month = trip_zones.source_month
