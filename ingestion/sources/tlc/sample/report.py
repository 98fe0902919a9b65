"""TLC's monthly report of the trips that were made up."""

from calendar import monthrange
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np

from ingestion.sources.tlc.sample.trips import TAXIS, Trips, month_start
from ingestion.sources.tlc.validate import REPORT_COLUMNS

_NONE = "-"
_SIX_HOURS = 6 * 3600


@dataclass(frozen=True)
class _Class:
    """A licence class: the part of a service's trips that it drives, and how its vehicles work."""

    name: str
    service: str
    share: float
    trips_per_vehicle: float
    days: float
    hours: float


_CLASSES = (
    _Class("FHV - Black Car", "fhv", 0.44, 5.7, 13.1, 4.4),
    _Class("FHV - High Volume", "fhvhv", 1, 11.6, 21.3, 6.4),
    _Class("FHV - Livery", "fhv", 0.53, 6.7, 17.9, 4.8),
    _Class("FHV - Lux Limo", "fhv", 0.03, 1.9, 10.8, 1.9),
    _Class("Green", "green", 1, 4.4, 16.8, 3.5),
    _Class("Yellow", "yellow", 1, 14.6, 25.9, 8.1),
)


def report_rows(made: Mapping[tuple[str, date], Trips]) -> Iterator[list[str]]:
    """Give the report's header and rows, the newest month first, written as TLC writes them.

    As TLC does, it counts the trips whose pickup lies in the month, whatever else is wrong.
    """
    yield list(REPORT_COLUMNS)
    for month in sorted({month for _, month in made}, reverse=True):
        for licence in _CLASSES:
            figures = _figures(licence, month, made[licence.service, month])
            yield [figures.get(name, _NONE) for name in REPORT_COLUMNS]


def _figures(licence: _Class, month: date, trips: Trips) -> dict[str, str]:
    start, end = month_start(month), month_start(month, 1)
    _, days = monthrange(month.year, month.month)
    in_month = (trips["pickup_at"] >= start) & (trips["pickup_at"] < end)
    timed = in_month & (trips["seconds"] > 0) & (trips["seconds"] < _SIX_HOURS)
    trips_per_day = in_month.sum() * licence.share / days
    vehicles_per_day = trips_per_day / licence.trips_per_vehicle
    vehicles = vehicles_per_day * days / licence.days
    figures = {
        "Month/Year": f"{month:%Y-%m}",
        "License Class": licence.name,
        "Trips Per Day": f"{trips_per_day:,.0f}",
        "Unique Drivers": f"{vehicles * 1.05:,.0f}",
        "Unique Vehicles": f"{vehicles:,.0f}",
        "Vehicles Per Day": f"{vehicles_per_day:,.0f}",
        "Avg Days Vehicles on Road": f"{licence.days:.1f}",
        "Avg Hours Per Day Per Vehicle": f"{licence.hours:.1f}",
        "Avg Days Drivers on Road": f"{licence.days * 0.98:.1f}",
        "Avg Hours Per Day Per Driver": f"{licence.hours * 0.98:.1f}",
        "Avg Minutes Per Trip": f"{trips['seconds'][timed].mean() / 60:.1f}",
    }
    if licence.service in TAXIS:
        counted = in_month & np.isfinite(trips["total_amount"])
        farebox = (trips["total_amount"] - trips["tip_amount"])[counted].sum() / days
        paid = trips["payment_type"][in_month]
        # as TLC does, it counts what nobody recorded as paid by card, and cuts off
        card = 100 * np.count_nonzero((paid == 1) | (paid == 0) | np.isnan(paid)) // len(paid)
        figures["Farebox Per Day"] = f"{farebox:,.0f}"
        figures["Percent of Trips Paid with Credit Card"] = f"{card}%"
    if licence.service == "fhvhv":
        shared = (trips["shared_match_flag"][in_month] == "Y").sum() / days
        figures["Trips Per Day Shared"] = f"{shared:,.0f}"
    return figures
