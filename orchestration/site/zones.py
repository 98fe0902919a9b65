"""The data of the map: one file of shapes, and figures by service and year, and by zone.

So the page loads only the files of what is shown, and does not grow with the years.
"""

import json
from calendar import monthrange
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from ingestion.warehouse.base import Result
from orchestration.site.data import plain, write_data

QUERIES = (
    ("zones", "Shapes"),
    ("zone_pickups", "Pickups and revenue"),
    ("zone_dropoffs", "Drop-offs"),
    ("zone_tips", "Tips"),
    ("zone_waits", "Waits"),
    ("zone_hours_pickups", "Pickups by hour of the week"),
    ("zone_hours_dropoffs", "Drop-offs by hour of the week"),
    ("zone_pairs", "From and to"),
)
HOURS = 7 * 24
# each query, and the names of the figures of a zone and month that it gives, in its order
MEASURES = {
    "zone_pickups": ("pickups", "usd"),
    "zone_dropoffs": ("dropoffs",),
    "zone_tips": ("card_fare", "card_tip"),
    "zone_waits": ("waited", "wait_minutes"),
}
SHOWN_PAIRS = 10
Ask = Callable[..., Result]
# zone, year, direction: the other zone and the trips
Pairs = dict[int, dict[int, dict[str, list[list[int]]]]]


def write_zones(ask: Ask, folder: Path, services: Sequence[str]) -> None:
    """Write the shapes and the figures of every zone."""
    zones = ask("zones").records()
    write_data(folder / "shapes.js", "shapes", shapes(zones))
    of_zone: dict[int, dict[str, Any]] = {row["zone_id"]: {} for row in zones}
    years: dict[str, list[int]] = {}
    for service in services:
        monthly = _monthly(ask, service)
        years[service] = sorted({month.year for month in monthly})
        pairs: Pairs = defaultdict(dict)
        for year in years[service]:
            months = [month for month in sorted(monthly) if month.year == year]
            write_data(
                folder / "map" / f"{service}-{year}.js",
                f"map/{service}-{year}",
                _by_zone({month: monthly[month] for month in months}),
            )
            write_data(
                folder / "hours" / f"{service}-{year}.js",
                f"hours/{service}-{year}",
                _hours(ask, service, months),
            )
            _add_pairs(ask, service, months, pairs)
        for zone, history in _histories(monthly).items():
            if zone in of_zone:
                of_zone[zone][service] = {**history, "pairs": pairs.get(zone, {})}
    for zone, own in of_zone.items():
        write_data(folder / "zone" / f"{zone}.js", f"zone/{zone}", own)
    write_data(folder / "zones.js", "zones", {"years": years})


def shapes(zones: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The zones as GeoJSON; rings are turned as the map's library wants them, clockwise outside."""
    features = []
    for row in zones:
        features.append(
            {
                "type": "Feature",
                "properties": {
                    "id": row["zone_id"],
                    "zone": row["zone"],
                    "borough": row["borough"],
                    "airport": row["is_airport"],
                    "cbd": row["is_cbd"],
                },
                "geometry": _turned(json.loads(row["geometry"])) if row["geometry"] else None,
            }
        )
    return {"type": "FeatureCollection", "features": features}


def _turned(geometry: dict[str, Any]) -> dict[str, Any]:
    """The same shape with rings in d3's order: d3 reads the other as the rest of the globe."""
    polygons = geometry["coordinates"]
    if geometry["type"] == "Polygon":
        polygons = [polygons]
    turned = [
        [
            ring[::-1] if (_area(ring) > 0) == (place == 0) else ring
            for place, ring in enumerate(polygon)
        ]
        for polygon in polygons
    ]
    return {"type": "MultiPolygon", "coordinates": turned}


def _area(ring: Sequence[Sequence[float]]) -> float:
    """Twice the signed area: above 0 if the ring runs counterclockwise."""
    pairs = zip(ring, [*ring[1:], ring[0]], strict=True)
    return sum(a[0] * b[1] - b[0] * a[1] for a, b in pairs)


Monthly = dict[date, dict[int, dict[str, Any]]]  # month, zone, measure


def _monthly(ask: Ask, service: str) -> Monthly:
    monthly: Monthly = defaultdict(lambda: defaultdict(dict))
    for name, measures in MEASURES.items():
        for zone, month, *values in ask(name, service).rows:
            own = monthly[month][zone]
            own.update((m, plain(v)) for m, v in zip(measures, values, strict=True))
    return monthly


def _by_zone(monthly: Monthly) -> dict[str, Any]:
    """The figures of a year: for each measure, month and zone."""
    months = sorted(monthly)
    zones = sorted({zone for own in monthly.values() for zone in own})
    measures = [m for names in MEASURES.values() for m in names]
    return {
        "months": [f"{month:%Y-%m}" for month in months],
        "zones": zones,
        "figures": {
            measure: [
                [monthly[month].get(zone, {}).get(measure) for zone in zones] for month in months
            ]
            for measure in measures
            if any(measure in own for month in months for own in monthly[month].values())
        },
    }


def _histories(monthly: Monthly) -> dict[int, dict[str, Any]]:
    """The figures of each zone over all months of a service."""
    histories: dict[int, dict[str, Any]] = {}
    measures = [m for names in MEASURES.values() for m in names]
    for month in sorted(monthly):
        for zone, own in monthly[month].items():
            history = histories.setdefault(zone, {"months": [], **{m: [] for m in measures}})
            history["months"].append(f"{month:%Y-%m}")
            for measure in measures:
                history[measure].append(own.get(measure))
    return {
        zone: {name: values for name, values in own.items() if any(v is not None for v in values)}
        for zone, own in histories.items()
    }


def _hours(ask: Ask, service: str, months: Sequence[date]) -> dict[str, Any]:
    """Trips of a year by zone and hour of the week, and how many of each weekday it has."""
    found: dict[str, dict[int, list[int]]] = {"pickups": {}, "dropoffs": {}}
    for direction, zones in found.items():
        for zone, hour, trips in ask(f"zone_hours_{direction}", service, *_span(months)).rows:
            zones.setdefault(zone, [0] * HOURS)[hour] = trips
    return {"days": _weekdays(months), **found}


def _span(months: Sequence[date]) -> tuple[date, date]:
    """The year of the months, from its first to its last day."""
    return date(months[0].year, 1, 1), date(months[0].year, 12, 31)


def _weekdays(months: Iterable[date]) -> list[int]:
    """How many Mondays, Tuesdays and so on the months have."""
    counts = [0] * 7
    for month in months:
        first, days = monthrange(month.year, month.month)
        for day in range(days):
            counts[(first + day) % 7] += 1
    return counts


def _add_pairs(ask: Ask, service: str, months: Sequence[date], pairs: Pairs) -> None:
    """Add for each zone the zones to which and from which most trips go in a year."""
    year = months[0].year

    def of(zone: int) -> dict[str, list[list[int]]]:
        return pairs[zone].setdefault(year, {"to": [], "from": []})

    for begin, end, trips, to_place, from_place in ask("zone_pairs", service, *_span(months)).rows:
        if to_place <= SHOWN_PAIRS:
            of(begin)["to"].append([end, trips])
        if from_place <= SHOWN_PAIRS:
            of(end)["from"].append([begin, trips])
    for years in pairs.values():
        for direction in years.get(year, {}).values():
            direction.sort(key=lambda pair: (-pair[1], pair[0]))
