/* The ten zones to which, and the ten from which, most trips go, for each zone and year, of one service. */
with pairs as (
    select
        cast(extract(year from source_month) as integer) as year,
        pickup_zone_id,
        dropoff_zone_id,
        cast(sum(trips) as bigint) as trips
    from marts.zone_pair_trips
    where service = ? and pickup_zone_id is not null and dropoff_zone_id is not null
    group by cast(extract(year from source_month) as integer), pickup_zone_id, dropoff_zone_id
),

ranked as (
    select
        *,
        row_number() over (partition by year, pickup_zone_id order by trips desc, dropoff_zone_id) as to_place,
        row_number() over (partition by year, dropoff_zone_id order by trips desc, pickup_zone_id) as from_place
    from pairs
)

select year, pickup_zone_id, dropoff_zone_id, trips, to_place, from_place
from ranked
where to_place <= 10 or from_place <= 10
order by year, pickup_zone_id, to_place
