"""Forecast taxi demand: pickups of each zone in each hour, directly from the lake.

    uv run --group examples python examples/demand_model.py green 2023-01 2023-03

It forecasts the last of these months that the lake holds, from the months before it. If the lake
also holds the weather of these months, it says what the weather adds.
"""

import sys
from contextlib import suppress
from datetime import date
from typing import NamedTuple

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.metrics import mean_absolute_error

import ingestion
from ingestion.errors import MedallionError, UsageError

PICKUP = {"yellow": "tpep_pickup_datetime", "green": "lpep_pickup_datetime"}
FEATURES = ["zone", "hour", "weekday", "usual"]
WEATHER = {"prcp": "rain", "snow": "snow", "tmax": "warmest"}  # inches, inches, degrees Fahrenheit

HOURS = """
with pickups as (
    select
        source_month as month,
        pulocationid as zone,
        date_trunc('hour', {pickup}) as at,
        count(*) as trips
    from trips
    -- as the marts do: a pickup outside its file's month does not count
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
    hours.at,
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
-- the model's figures follow the order of the rows
order by hours.at, hours.zone
"""


WITH_WEATHER = """
select hours.*, days.prcp as rain, days.snow, days.tmax as warmest
from hours
left join days on cast(hours.at as date) = cast(days.date as date)
order by hours.at, hours.zone
"""


class Forecast(NamedTuple):
    """The month of the forecast, and by how many trips per hour and zone each method is off."""

    month: date
    model: float
    with_weather: float | None  # the model that knows the weather too, if the lake holds it
    usual: float  # the average of that zone and hour, on workdays or at weekends
    average: float  # of everything


def forecast(name: str, start: str, end: str) -> Forecast:
    """Forecast the last month; raises ``UsageError`` if there is nothing to learn from."""
    if name not in PICKUP:
        raise UsageError(f"{name} cannot be forecast; {' and '.join(PICKUP)} can.")
    pickup = PICKUP[name]
    # only a few batches are in memory, however many months there are
    trips = ingestion.dataset(name, start, end, columns=["source_month", pickup, "pulocationid"])
    with duckdb.connect() as connection:
        connection.register("trips", trips)
        hours = connection.sql(HOURS.format(pickup=pickup)).to_arrow_table()
        connection.register("hours", hours)
        hours = connection.sql(WITH_USUAL).to_arrow_table()
        connection.register("hours", hours)
        connection.register("days", _weather(start, end))
        table = connection.sql(WITH_WEATHER).pl()
    if table.is_empty():
        raise UsageError(
            f"The lake has no two months of {name} with trips from {start} to {end}: give others,"
            f" or land them with medallion land --dataset {name} --from {start} --to {end}"
        )
    last = table["month"] == table["month"].max()
    past, future = table.filter(~last), table.filter(last)
    usual, average = future["usual"], np.full(len(future), past["trips"].mean())
    knows_weather = past["warmest"].is_not_null().any() and future["warmest"].is_not_null().any()
    return Forecast(
        future["month"][0],
        _off(past, future, FEATURES),
        _off(past, future, [*FEATURES, *WEATHER.values()]) if knows_weather else None,
        mean_absolute_error(future["trips"], usual),
        mean_absolute_error(future["trips"], average),
    )


def _weather(start: str, end: str) -> pa.Table:
    """The days of these months in Central Park, as far as the lake holds them."""
    none = {"date": pa.array([], pa.timestamp("us"))}
    days = [pa.table(none | {name: pa.array([], pa.float64()) for name in WEATHER})]
    # the API first, as the marts do: it is asked again for what NOAA corrects
    for name in ("central_park_daily", "central_park_weather"):
        with suppress(MedallionError):  # the source is not in use, or has none of these months
            found = ingestion.dataset(name, start, end, columns=["date", *WEATHER])
            days.append(found.read_all())
    every = pl.concat([pl.DataFrame(table) for table in days])
    return every.unique("date", keep="first", maintain_order=True).to_arrow()


def _off(past: pl.DataFrame, future: pl.DataFrame, features: list[str]) -> float:
    """By how many trips a model of these features is off on average."""
    # learn square roots: most hours have no trip, and the few busy ones would outweigh them
    model = HistGradientBoostingRegressor(max_iter=40, early_stopping=False, random_state=0)
    model.fit(past[features], np.sqrt(past["trips"]))
    return float(mean_absolute_error(future["trips"], np.square(model.predict(future[features]))))


def main(arguments: list[str]) -> None:
    """Print the result of the forecast, or in one line why there is none."""
    try:
        name, start, end = arguments
    except ValueError:
        sys.exit("Give a dataset and two months: green 2023-01 2023-03")
    try:
        off = forecast(name, start, end)
    except MedallionError as exc:
        sys.exit(str(exc))
    weather = " (the lake has no weather of these months)"
    if off.with_weather is not None:
        weather = f", with the weather by {off.with_weather:.3f}"
    print(
        f"{name} {off.month:%Y-%m}: off by {off.model:.3f} trips an hour and zone{weather};"
        f" the usual of zone and hour by {off.usual:.3f}, one average by {off.average:.3f}"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
