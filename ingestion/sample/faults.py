"""Rows that break one rule each, as rows of the real files do, and a month published anew."""

from collections.abc import Callable
from datetime import date

import numpy as np

from ingestion.sample.city import Values
from ingestion.sample.trips import TAXI_PARTS, TAXIS, Trips, add_totals, month_start

Plant = Callable[[np.random.Generator, Trips, Values, date], None]

_NOT_FHV = (*TAXIS, "fhvhv")
_ALL = (*_NOT_FHV, "fhv")


def plant(rng: np.random.Generator, service: str, month: date, trips: Trips, of_each: int) -> None:
    """Give rows of ``trips`` the faults that its service knows, ``of_each`` rows of each.

    No row gets two. The rows that are touched are marked in the column ``touched``.
    """
    faults = [fault for services, fault in _FAULTS if service in services]
    rows = len(trips["pickup_at"])
    trips["touched"] = np.zeros(rows, dtype=bool)
    # even rows only, as some faults take the row that follows as well
    spots = 2 * rng.permutation(rows // 2)[: of_each * len(faults)]
    for fault, chosen in zip(faults, spots.reshape(len(faults), of_each), strict=True):
        fault(rng, trips, chosen, month)
        trips["touched"][chosen] = True
        trips["touched"][chosen + 1] = True
    add_totals(trips)


def faults_outside_month(of_each: int) -> int:
    """Give the number of rows that ``plant`` takes out of the month."""
    return of_each * sum(fault in (_missing_pickup_time, _pickup_outside_month) for _, fault in _FAULTS)


def restated(trips: Trips) -> Trips:
    """Give the month as TLC might publish it anew: 3 rows fewer, 5 late rows, 5 other fares."""
    clean = np.flatnonzero(~trips["touched"])
    chosen = clean[np.linspace(0.1, 0.9, 13) * len(clean) // 1 % len(clean)]
    return trips


def _missing_pickup_time(rng: np.random.Generator, trips: Trips, rows: Values, month: date) -> None:
    trips["pickup_at"][rows] = np.datetime64("NaT")
