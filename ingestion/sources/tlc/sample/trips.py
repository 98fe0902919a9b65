"""Trips as they should be: every row of them passes every rule.

A month of trips is a dict of equally long arrays under the published names in lower case, except
for what the four services name differently: ``pickup_at``, ``dropoff_at``, ``seconds``, ``miles``,
``pickup_zone``, ``dropoff_zone``. NaN, NaT and None stand for null.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any

import numpy as np
from numpy.random import Generator

from ingestion.sources.tlc.sample import city
from ingestion.sources.tlc.sample.city import Values

Trips = dict[str, Values]

TAXIS = ("yellow", "green")
TAXI_PARTS = (
    "fare_amount",
    "extra",
    "mta_tax",
    "tip_amount",
    "tolls_amount",
    "improvement_surcharge",
    "congestion_surcharge",
    "airport_fee",
    "cbd_congestion_fee",
)
_CBD_FEE_SINCE = np.datetime64("2025-01-05")

# trips by hour of day from 0:00, and by day of week from Monday
_WEEKDAY = np.array(
    [9, 5, 3, 2, 3, 6, 15, 28, 36, 35, 33, 34, 36, 37, 40, 43, 46, 50, 52, 46, 38, 34, 28, 18]
)
_WEEKEND = np.array(
    [32, 27, 21, 14, 9, 6, 7, 10, 15, 22, 29, 34, 38, 40, 41, 41, 42, 43, 44, 42, 38, 37, 36, 30]
)
_OF_WEEK = np.array([0.86, 0.95, 1.0, 1.04, 1.06, 1.09, 0.94])


def month_start(month: date, later: int = 0) -> np.datetime64:
    """Give the first moment of ``month``, or of one that many months later."""
    start: np.datetime64 = (np.datetime64(month, "M") + later).astype("datetime64[us]")
    return start


def add_totals(trips: Trips) -> None:
    """Set what a taxi's passenger pays to the sum of its parts."""
    if "fare_amount" in trips:
        parts = [trips[name] for name in TAXI_PARTS if name in trips]
        trips["total_amount"] = np.round(np.nansum(parts, axis=0), 2)


def seconds_from(rng: Generator, low: int, high: int, rows: int) -> Values:
    """Draw that many durations from ``low`` to below ``high`` seconds."""
    return rng.integers(low, high, rows).astype("timedelta64[s]")


def clean_trips(rng: Generator, service: str, month: date, rows: int) -> Trips:
    """Give that many trips of a service, all with a pickup in ``month``, nearly in its order."""
    trips = _journeys(rng, service, month, rows)
    if service in TAXIS:
        trips |= _taxi(rng, service, month, trips)
        if service == "yellow" and month.year >= 2025:
            _let_one_vendor_stamp_once(rng, trips)
    elif service == "fhv":
        trips |= _fhv(rng, rows)
        for zone, missing in (("pickup_zone", 0.78), ("dropoff_zone", 0.16)):
            trips[zone] = np.where(rng.random(rows) < missing, np.nan, trips[zone])
    else:
        trips |= _fhvhv(rng, month, trips)
    add_totals(trips)
    return trips


def _journeys(rng: Generator, service: str, month: date, rows: int) -> Trips:
    slots = np.arange(month_start(month), month_start(month, 1), np.timedelta64(1, "h"))
    weights = np.where(_weekday(slots) >= 5, _WEEKEND[_hour(slots)], _WEEKDAY[_hour(slots)])
    weights = weights * _OF_WEEK[_weekday(slots)]
    pickup = rng.choice(slots, rows, p=weights / weights.sum()) + seconds_from(rng, 0, 3600, rows)
    # files are nearly sorted, as each trip arrives a while after it began
    pickup = pickup[np.argsort(pickup + seconds_from(rng, 0, 1800, rows), kind="stable")]

    start, end = city.draw_zones(rng, service, rows)
    miles = np.round(city.miles_between(start, end) * 0.8 + rng.uniform(0.3, 1.3, rows), 2)
    mph = np.where((_hour(pickup) >= 22) | (_hour(pickup) < 6), 14, 9) + np.minimum(miles, 20) * 0.8
    mph *= rng.uniform(0.75, 1.3, rows)
    seconds = np.round(miles / mph * 3600) + rng.integers(20, 150, rows)
    return {
        "pickup_at": pickup,
        "dropoff_at": pickup + seconds.astype("timedelta64[s]"),
        "seconds": seconds,
        "miles": miles,
        "pickup_zone": start.astype(float),
        "dropoff_zone": end.astype(float),
    }


def _taxi(rng: Generator, service: str, month: date, trips: Trips) -> Trips:
    rows, recent, yellow = len(trips["miles"]), month.year >= 2025, service == "yellow"
    start, end = trips["pickup_zone"].astype(int), trips["dropoff_zone"].astype(int)
    hour, weekday = _hour(trips["pickup_at"]), _weekday(trips["pickup_at"])
    touches_core = city.CORE[start] | city.CORE[end]

    flat = ((start == city.JFK) & city.CORE[end]) | ((end == city.JFK) & city.CORE[start])
    negotiated = ~flat & (rng.random(rows) < (0.006 if yellow else 0.03))
    meter = 3 + 0.7 * np.round(5 * trips["miles"] + 0.35 * trips["seconds"] / 60)
    fare = np.select([flat, negotiated], [70.0, np.round(meter * 1.2 / 5 + 1) * 5], meter)
    night, rush = (hour >= 20) | (hour < 6), (hour >= 16) & (hour < 20) & (weekday < 5)
    bridge = (flat | (end == city.EWR) | (trips["miles"] > 9)) & (rng.random(rows) < 0.6)

    # orders by app come without what the driver enters, and without some surcharges
    by_app = rng.random(rows) < {"yellow": (0.03, 0.15), "green": (0.07, 0.04)}[service][recent]
    card, cash = (0.81, 0.17) if yellow else (0.67, 0.31)
    payment = _draw(rng, rows, {1: card, 2: cash, 3: 0.012, 4: 0.006, 5: 0.001})
    tipped = np.where(by_app, rng.random(rows) < 0.2, (payment == 1) & (rng.random(rows) < 0.95))
    tips = fare * _draw(rng, rows, {0.1: 1, 0.18: 2, 0.2: 5, 0.25: 3, 0.3: 2})
    tips += rng.uniform(0.2, 1.2, rows)

    made: Trips = {
        "vendorid": _draw(rng, rows, {1: 0.26, 2: 0.73, 6: 0.01} if yellow else {1: 0.13, 2: 0.87}),
        "passenger_count": _draw(rng, rows, {0: 2, 1: 75, 2: 14, 3: 4, 4: 2, 5: 2, 6: 1}),
        "ratecodeid": np.select([flat, negotiated], [2.0, 5.0], 1.0),
        "store_and_fwd_flag": _draw(rng, rows, {"N": 0.995, "Y": 0.005}),
        "payment_type": payment.astype(float),
        "fare_amount": np.round(fare, 2),
        "extra": np.select([flat & rush, flat, rush, night], [5.0, 0.0, 2.5, 1.0], 0.0),
        "mta_tax": np.where(negotiated, 0.0, 0.5),
        "tip_amount": np.where(tipped, np.round(tips, 2), 0.0),
        "tolls_amount": np.where(bridge, 6.94 if recent else 6.55, 0.0),
        "improvement_surcharge": np.full(rows, 1.0),
        "congestion_surcharge": np.where(touches_core, 2.5 if yellow else 2.75, 0.0),
        "cbd_congestion_fee": _cbd_fee(trips, 0.75),
    }
    blank = ["passenger_count", "ratecodeid", "congestion_surcharge"]
    if yellow:
        made["airport_fee"] = np.where(city.AIRPORT[start], 1.75 if recent else 1.25, 0.0)
        made["payment_type"][by_app] = 0
        blank.append("airport_fee")
    else:
        made["ehail_fee"] = np.full(rows, np.nan)
        made["trip_type"] = np.where(negotiated, 2.0, 1.0)
        blank += ["payment_type", "trip_type"]
    for name in blank:
        made[name] = np.where(by_app, np.nan, made[name])
    made["store_and_fwd_flag"][by_app] = None
    return made


def _let_one_vendor_stamp_once(rng: Generator, trips: Trips) -> None:
    """Let some trips be Helix's, which publishes the dropoff time as the pickup time."""
    once = rng.random(len(trips["miles"])) < 0.01
    trips["vendorid"][once] = 7
    trips["seconds"][once] = 0
    trips["dropoff_at"][once] = trips["pickup_at"][once]


def _fhv(rng: Generator, rows: int) -> Trips:
    bases = np.array([f"B{number:05}" for number in rng.integers(1, 3600, 240)], dtype=object)
    fleet = rng.exponential(1, len(bases))
    base = rng.choice(bases, rows, p=fleet / fleet.sum())
    affiliated = np.where(rng.random(rows) < 0.7, base, rng.choice(bases, rows))
    affiliated[rng.random(rows) < 0.02] = None
    return {
        "dispatching_base_num": base,
        "affiliated_base_number": affiliated,
        "sr_flag": np.where(rng.random(rows) < 0.004, 1.0, np.nan),
    }


def _fhvhv(rng: Generator, month: date, trips: Trips) -> Trips:
    rows = len(trips["miles"])
    start, end = trips["pickup_zone"].astype(int), trips["dropoff_zone"].astype(int)
    uber = rng.random(rows) < 0.74
    surge = np.maximum(rng.normal(1.1, 0.25, rows), 0.7)
    fare = np.round((3 + 1.6 * trips["miles"] + 0.42 * trips["seconds"] / 60) * surge, 2)
    tolls = np.where((trips["miles"] > 9) & (rng.random(rows) < 0.5), 6.94, 0.0)
    asked = trips["pickup_at"] - seconds_from(rng, 120, 720, rows)
    arrived = trips["pickup_at"] - seconds_from(rng, 0, 110, rows)
    share_asked, share_met = rng.random(rows) < 0.02, rng.random(rows) < 0.4
    wheelchair = rng.random(rows) < 0.003
    fund, tips = (0.03, 4.3) if month.year < 2025 else (0.024, 4.6)
    return {
        "hvfhs_license_num": _text(uber, "HV0003", "HV0005"),
        "dispatching_base_num": _text(uber, "B03404", "B03406"),
        "originating_base_num": _text(uber, "B03404", None),
        "request_datetime": asked,
        "on_scene_datetime": np.where(uber, arrived, np.datetime64("NaT")),
        "base_passenger_fare": fare,
        "tolls": tolls,
        "bcf": np.round((fare + tolls) * fund, 2),
        "sales_tax": np.round((fare + tolls) * 0.08875, 2),
        "congestion_surcharge": np.where(city.CORE[start] | city.CORE[end], 2.75, 0.0),
        "airport_fee": np.where(city.AIRPORT[start] | city.AIRPORT[end], 2.5, 0.0),
        "tips": np.where(rng.random(rows) < 0.19, np.round(rng.gamma(3, tips / 3, rows), 2), 0.0),
        "driver_pay": np.round(fare * rng.uniform(0.62, 0.9, rows), 2),
        "shared_request_flag": _text(share_asked, "Y", "N"),
        "shared_match_flag": _text(share_asked & share_met, "Y", "N"),
        "access_a_ride_flag": _text(uber, " ", "N"),
        "wav_request_flag": _text(wheelchair, "Y", "N"),
        "wav_match_flag": _text(wheelchair | (rng.random(rows) < 0.06), "Y", "N"),
        "cbd_congestion_fee": _cbd_fee(trips, 1.5),
    }


def _cbd_fee(trips: Trips, usd: float) -> Values:
    zones = [trips[name].astype(int) for name in ("pickup_zone", "dropoff_zone")]
    due = (city.TOLLED[zones[0]] | city.TOLLED[zones[1]]) & (trips["pickup_at"] >= _CBD_FEE_SINCE)
    return np.where(due, usd, 0.0)


def _draw(rng: Generator, rows: int, shares: Mapping[Any, float]) -> Values:
    kind = object if isinstance(next(iter(shares)), str) else None
    weights = np.array(list(shares.values()), dtype=float)
    return rng.choice(np.array(list(shares), dtype=kind), rows, p=weights / weights.sum())


def _text(condition: Values, yes: str, no: str | None) -> Values:
    return np.where(condition, np.array(yes, dtype=object), np.array(no, dtype=object))


def _hour(times: Values) -> Values:
    return times.astype("datetime64[h]").astype(int) % 24


def _weekday(times: Values) -> Values:
    """Give days of the week, from 0 for Monday; 1970 began on a Thursday."""
    return (times.astype("datetime64[D]").astype(int) + 3) % 7
