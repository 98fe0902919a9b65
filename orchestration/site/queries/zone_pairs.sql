/* The ten zones to which, and the ten from which, most trips go, for each zone, of one service and year. */
with pairs as (
    select pickup_zone_id, dropoff_zone_id, cast(sum(trips) as bigint) as trips
    from marts.zone_pair_trips
    where
        service = ? and source_month between ? and ?
        and pickup_zone_id is not null and dropoff_zone_id is not null
    group by pickup_zone_id, dropoff_zone_id
),

ranked as (
    select
        *,
        row_number() over (partition by pickup_zone_id order by trips desc, dropoff_zone_id) as to_place,
        row_number() over (partition by dropoff_zone_id order by trips desc, pickup_zone_id) as from_place
    from pairs
)

select pickup_zone_id, dropoff_zone_id, trips, to_place, from_place
from ranked
where to_place <= 10 or from_place <= 10
order by pickup_zone_id, to_place
