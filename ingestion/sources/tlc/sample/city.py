"""A made-up city with TLC's 265 zone ids: who rides from where, and how far it is.

Only the airports and the two zones for unknown places have TLC's names and boroughs.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[Any]

EWR, JFK, LGA, UNKNOWN, OUTSIDE = 1, 132, 138, 264, 265
ZONE_IDS = np.arange(1, 266)


@dataclass(frozen=True)
class Area:
    """Zones of one kind: their place in miles east and north of Midtown, and who rides there."""

    borough: str
    service_zone: str
    centre: tuple[float, float]
    half_size: tuple[float, float]
    pickups: dict[str, float] = field(default_factory=dict)


def _rides(yellow: float, green: float, for_hire: float) -> dict[str, float]:
    return {"yellow": yellow, "green": green, "fhv": for_hire, "fhvhv": for_hire}


AREAS = {
    "core": Area("Manhattan", "Yellow Zone", (0, -1.6), (0.7, 4.0), _rides(1, 0, 0.9)),
    "uptown": Area("Manhattan", "Boro Zone", (0.8, 4.2), (0.7, 1.8), _rides(0.1, 3, 0.7)),
    "queens": Area("Queens", "Boro Zone", (7, -1), (3.5, 2.5), _rides(0.03, 0.7, 0.6)),
    "brooklyn": Area("Brooklyn", "Boro Zone", (3, -7), (2.5, 2.5), _rides(0.03, 0.6, 0.8)),
    "bronx": Area("Bronx", "Boro Zone", (4, 8), (2, 2), _rides(0.01, 0.2, 0.6)),
    "island": Area("Staten Island", "Boro Zone", (-8, -14), (2.5, 2.5), _rides(0.001, 0.01, 0.2)),
    "ewr": Area("EWR", "EWR", (-10, -4), (0, 0), _rides(0.05, 0, 0.1)),
    "jfk": Area("Queens", "Airports", (11, -9), (0, 0), _rides(4, 0.05, 3)),
    "lga": Area("Queens", "Airports", (6, 1.5), (0, 0), _rides(3, 0.05, 2.5)),
    "unknown": Area("Unknown", "N/A", (2, -1), (0, 0), _rides(0.4, 0.1, 0.05)),
    "outside": Area("N/A", "N/A", (-14, 8), (0, 0), _rides(0.05, 0.05, 0.1)),
}
_PLACES = {
    EWR: ("ewr", "Newark Airport"),
    JFK: ("jfk", "JFK Airport"),
    LGA: ("lga", "LaGuardia Airport"),
    UNKNOWN: ("unknown", "N/A"),
    OUTSIDE: ("outside", "Outside of NYC"),
}
# zone ids follow the alphabet of names, so boroughs take turns
_TURNS = """
    core queens brooklyn bronx core queens brooklyn uptown
    island queens core brooklyn bronx queens brooklyn
"""
_WITH_APOSTROPHE = 24  # one name in so many has one, as some of TLC's names have

_rng = np.random.default_rng(265)


def _area_of(zone: int) -> str:
    turns = _TURNS.split()
    return _PLACES[zone][0] if zone in _PLACES else turns[zone % len(turns)]


def _name_of(zone: int) -> str:
    if zone in _PLACES:
        return _PLACES[zone][1]
    owner = "" if zone % _WITH_APOSTROPHE else "Nobody's "
    return f"{owner}Sample zone {zone}"


# all by zone id; there is no zone 0
AREA_OF = np.array(["", *(_area_of(int(zone)) for zone in ZONE_IDS)])
_XY = np.zeros((266, 2))
_XY[1:] = [AREAS[area].centre for area in AREA_OF[1:]]
_XY[1:] += _rng.uniform(-1, 1, (265, 2)) * [AREAS[area].half_size for area in AREA_OF[1:]]
_BUSTLE = _rng.exponential(1, 266) + 0.1
_BUSTLE[list(_PLACES)] = 1

AIRPORT = np.isin(np.arange(266), (JFK, LGA))
CORE = AREA_OF == "core"
TOLLED = CORE & (_XY[:, 1] < -0.5)  # where the congestion fee of 2025 is due


def lookup_rows() -> Iterator[tuple[int, str, str, str]]:
    """Give TLC's zone lookup: id, borough, zone, service zone."""
    for zone in map(int, ZONE_IDS):
        area = AREAS[AREA_OF[zone]]
        yield zone, area.borough, _name_of(zone), area.service_zone


def draw_zones(rng: np.random.Generator, service: str, rows: int) -> tuple[Values, Values]:
    """Draw pickup and dropoff zones; the dropoff is the nearest of five drawn zones."""
    pickups = np.array([AREAS[area].pickups[service] for area in AREA_OF[1:]]) * _BUSTLE[1:]
    # people go where high-volume cars pick up, and to a street-hail service's own streets
    dropoffs = pickups + np.array([AREAS[area].pickups["fhvhv"] for area in AREA_OF[1:]]) / 4
    start = rng.choice(ZONE_IDS, rows, p=pickups / pickups.sum())
    choices = rng.choice(ZONE_IDS, (rows, 5), p=dropoffs / dropoffs.sum())
    nearest = miles_between(start[:, None], choices).argmin(axis=1)
    return start, choices[np.arange(rows), nearest]


def places(zones: Values) -> Values:
    """Give the miles east and north of Midtown of each zone."""
    return _XY[zones]


def miles_between(start: Values, end: Values) -> Values:
    """Give the miles along a grid of streets from zone to zone."""
    miles: Values = np.abs(_XY[start] - _XY[end]).sum(axis=-1)
    return miles
