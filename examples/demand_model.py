"""Forecast taxi demand: pickups of each zone in each hour, from the lake as it lies.

    uv run --group examples python examples/demand_model.py green 2023-01 2023-03

The last month is forecast from the months before it.
"""

import sys

import duckdb
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.metrics import mean_absolute_error

import ingestion

PICKUP = {"yellow": "tpep_pickup_datetime", "green": "lpep_pickup_datetime"}
FEATURES = ["zone", "hour", "weekday", "usual"]

HOURS = """
with pickups as (
    select
        source_month as month,
        pulocationid as zone,
        date_trunc('hour', {pickup}) as at,
        count(*) as trips
    from trips
    -- as the marts do: a pickup outside its file's month is a fault
    where date_trunc('month', {pickup}) = source_month
    group by all
),

-- an hour without a pickup is a row too
hours as (
    select month, unnest(generate_series(
        cast(month as timestamp), month + interval 1 month - interval 1 hour, interval 1 hour
    )) as at
    from (select distinct month from pickups)
)

select
    hours.month,
    zones.zone,
    hour(hours.at) as hour,
    dayofweek(hours.at) as weekday,
    coalesce(pickups.trips, 0) as trips
from hours
cross join (select distinct zone from pickups) as zones
left join pickups on hours.at = pickups.at and zones.zone = pickups.zone
"""

WITH_USUAL = """
select hours.*, usual.trips as usual
from hours
inner join (
    select zone, hour, weekday >= 1 and weekday <= 5 as workday, avg(trips) as trips
    from hours
    where month < (select max(month) from hours)
    group by all
) as usual
    on
        hours.zone = usual.zone
        and hours.hour = usual.hour
        and (hours.weekday >= 1 and hours.weekday <= 5) = usual.workday
order by month, zone, weekday, hour
"""


def forecast(name: str, start: str, end: str) -> tuple[float, float]:
    """How many trips an hour the forecast of the last month is off, and a plain average."""
    pickup = PICKUP[name]
    # never more than some batches in memory, however many months there are
    trips = ingestion.dataset(name, start, end, columns=["source_month", pickup, "pulocationid"])
    with duckdb.connect() as connection:
        connection.register("trips", trips)
        hours = connection.sql(HOURS.format(pickup=pickup)).to_arrow_table()
        connection.register("hours", hours)
        table = connection.sql(WITH_USUAL).pl()
    last = table["month"] == table["month"].max()
    past, future = table.filter(~last), table.filter(last)
    model = HistGradientBoostingRegressor(loss="poisson", max_iter=40, random_state=0)
    model.fit(past[FEATURES], past["trips"])
    return (
        mean_absolute_error(future["trips"], model.predict(future[FEATURES])),
        mean_absolute_error(future["trips"], [past["trips"].mean()] * len(future)),
    )


if __name__ == "__main__":
    off, plain = forecast(*sys.argv[1:4])
    print(f"off by {off:.2f} trips an hour and zone; the average of the past by {plain:.2f}")
