"""Rows that break one rule each, as rows of the real files do, and a month published anew."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.random import Generator

from ingestion.sources.tlc.sample.city import Values
from ingestion.sources.tlc.sample.trips import TAXI_PARTS, TAXIS, Trips, add_totals, month_start


@dataclass(frozen=True)
class _Chosen:
    """The rows of a month that get a fault."""

    trips: Trips
    rows: Values
    month: date
    rng: Generator

    def draw(self, low: float, high: float) -> Values:
        """Draw a number for every row."""
        return self.rng.uniform(low, high, len(self.rows))

    def last(self, seconds: Values) -> None:
        """Set the duration of the trips."""
        self.trips["seconds"][self.rows] = seconds
        pickup = self.trips["pickup_at"][self.rows]
        self.trips["dropoff_at"][self.rows] = pickup + seconds.astype("timedelta64[s]")

    def copy_down(self) -> None:
        """Make each following row a copy."""
        for values in self.trips.values():
            values[self.rows + 1] = values[self.rows]


def plant(rng: Generator, service: str, month: date, trips: Trips, rarest: int) -> None:
    """Give trips every fault that their service has; no trip gets two.

    The rarest faults come ``rarest`` times. The column ``touched`` marks the rows that have one.
    """
    faults = [(fault, rarest * times) for fault, services, times in _FAULTS if service in services]
    trips["touched"] = np.zeros(len(trips["pickup_at"]), dtype=bool)
    # even rows only, as some faults take the row that follows as well
    spots = 2 * rng.permutation(len(trips["pickup_at"]) // 2)
    for fault, count in faults:
        rows, spots = spots[:count], spots[count:]
        fault(_Chosen(trips, rows, month, rng))
        trips["touched"][rows] = trips["touched"][rows + 1] = True
    add_totals(trips)


def restated(trips: Trips) -> Trips:
    """Give a month as it might be published anew: 3 trips go, 5 come late, 5 have other fares."""
    clean = np.flatnonzero(~trips["touched"])
    gone, refared, copied = np.split(clean[:: len(clean) // 13][:13], [3, 8])
    kept = np.delete(np.arange(len(trips["touched"])), gone)
    anew = {name: values.copy() for name, values in trips.items()}
    anew["fare_amount"][refared] += 3.5
    anew = {name: np.concatenate([values[kept], values[copied]]) for name, values in anew.items()}
    _shift(anew, np.arange(len(kept), len(kept) + len(copied)), np.timedelta64(19, "m"))
    add_totals(anew)
    return anew


def _missing_pickup_time(at: _Chosen) -> None:
    at.trips["pickup_at"][at.rows] = np.datetime64("NaT")


def _pickup_outside_month(at: _Chosen) -> None:
    places = [
        np.datetime64("2008-12-31T22:47"),
        np.datetime64("2041-11-15T02:57"),
        month_start(at.month) - np.timedelta64(9, "m"),
        month_start(at.month, 1) + np.timedelta64(2, "m"),
    ]
    to = np.resize(np.array(places, "datetime64[us]"), len(at.rows))
    to += at.draw(0, 400).astype("timedelta64[s]")
    _shift(at.trips, at.rows, to - at.trips["pickup_at"][at.rows])


def _missing_dropoff_time(at: _Chosen) -> None:
    at.trips["dropoff_at"][at.rows] = np.datetime64("NaT")


def _dropoff_before_pickup(at: _Chosen) -> None:
    before = at.draw(60, 7_200).astype("timedelta64[s]")
    at.trips["dropoff_at"][at.rows] = at.trips["pickup_at"][at.rows] - before


def _duration_over_24h(at: _Chosen) -> None:
    at.last(np.round(at.draw(86_401, 108_000)))


def _no_time_no_distance(at: _Chosen) -> None:
    at.last(np.zeros(len(at.rows)))
    at.trips["miles"][at.rows] = 0


def _unknown_zone(at: _Chosen) -> None:
    pickups, dropoffs = at.rows[0::2], at.rows[1::2]
    at.trips["pickup_zone"][pickups] = np.resize([0, np.nan, 999], len(pickups))
    at.trips["dropoff_zone"][dropoffs] = np.resize([266, np.nan, 0], len(dropoffs))


def _negative_distance(at: _Chosen) -> None:
    at.trips["miles"][at.rows] *= -1


def _impossible_distance(at: _Chosen) -> None:
    at.trips["miles"][at.rows] = np.round(at.draw(301, 120_000), 2)


def _impossible_speed(at: _Chosen) -> None:
    seconds = np.round(at.draw(60, 900))
    at.last(seconds)
    at.trips["miles"][at.rows] = np.round(seconds / 3600 * at.draw(110, 400), 2)


def _refund(at: _Chosen) -> None:
    at.trips["payment_type"][at.rows] = np.resize([4, 3], len(at.rows))
    at.trips["tip_amount"][at.rows] = 0
    at.copy_down()
    _negative_total(at)


def _negative_total(at: _Chosen) -> None:
    for name in TAXI_PARTS:
        if name in at.trips:
            at.trips[name][at.rows] = 0 - at.trips[name][at.rows]


def _implausible_total(at: _Chosen) -> None:
    at.trips["fare_amount"][at.rows] = np.round(at.draw(1_001, 9_000), 1)


def _duplicate_row(at: _Chosen) -> None:
    at.copy_down()


def _not_a_number(at: _Chosen) -> None:
    _, tolls = _amounts(at)
    tolls[at.rows] = np.inf


def _implausible_amount(at: _Chosen) -> None:
    fare, tolls = _amounts(at)
    fare[at.rows] += 2_000_000
    tolls[at.rows] -= 2_000_000  # the total looks right


def _amounts(at: _Chosen) -> tuple[Values, Values]:
    taxi = "fare_amount" in at.trips
    names = ("fare_amount", "tolls_amount") if taxi else ("base_passenger_fare", "tolls")
    return at.trips[names[0]], at.trips[names[1]]


_EVERY = (*TAXIS, "fhv", "fhvhv")
_METERED = (*TAXIS, "fhvhv")
# fault, the services that have it, and how often it comes for each time that the rarest does
_FAULTS: tuple[tuple[Callable[[_Chosen], None], tuple[str, ...], int], ...] = (
    (_missing_pickup_time, _EVERY, 1),
    (_pickup_outside_month, _EVERY, 2),
    (_missing_dropoff_time, _METERED, 1),
    (_dropoff_before_pickup, _EVERY, 2),
    (_duration_over_24h, _EVERY, 1),
    (_no_time_no_distance, _METERED, 5),
    (_unknown_zone, _METERED, 2),
    (_negative_distance, _METERED, 1),
    (_impossible_distance, TAXIS, 2),
    (_impossible_speed, _METERED, 3),
    (_refund, TAXIS, 8),
    (_negative_total, TAXIS, 2),
    (_implausible_total, TAXIS, 1),
    (_duplicate_row, _METERED, 1),
    (_not_a_number, _METERED, 1),
    (_implausible_amount, _METERED, 1),
)


def trips_outside_month(rarest: int) -> int:
    """Give the number of trips that ``plant`` takes out of their month."""
    outside = (_missing_pickup_time, _pickup_outside_month)
    return rarest * sum(times for fault, _, times in _FAULTS if fault in outside)


def _shift(trips: Trips, rows: Values, by: Values | np.timedelta64) -> None:
    for values in trips.values():
        if values.dtype.kind == "M":
            values[rows] += by
