"""An API that answers as Socrata's does, and what TLC publishes there."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.support.api import Asked, Reply

BASES, BASE_REPORT, ZONES = "/eccv-9dzr.json", "/2v9c-2k7f.json", "/8meu-9t5y.json"


def socrata(rows: Sequence[Mapping[str, Any]]) -> Any:
    """As Socrata answers: $limit rows from $offset, without keys that have no value."""

    def answer(asked: Asked) -> Any:
        if "$order" not in asked.params:
            return Reply(b"pages of no order may overlap", 400)
        begin = asked.number("$offset")
        page = rows[begin : begin + asked.number("$limit")]
        return [{key: value for key, value in row.items() if value} for row in page]

    return answer


def records(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def base_report(real_data: Path) -> list[dict[str, str]]:
    """The rows of the FHV Base Aggregate Report under the names of the API."""
    return [
        {
            "base_license_number": r["Base License Number"],
            "base_name": r["Base Name"],
            "dba": r["DBA"],
            "year": r["Year"],
            "month": r["Month"],
            "month_name": r["Month Name"],
            "total_dispatched_trips": r["Total Dispatched Trips"],
            "total_dispatched_shared_trips": r["Total Dispatched Shared Trips"],
            "unique_dispatched_vehicles": r["Unique Dispatched Vehicles"],
        }
        for r in records(real_data / "misc" / "FHV_Base_Aggregate_Report.csv")
    ]


def taxi_zones(real_data: Path) -> list[dict[str, Any]]:
    """The zones of NYC Open Data's map, as rows of the table."""
    map_of_zones = json.loads((real_data / "misc" / "NYC Taxi Zones.geojson").read_text("utf-8"))
    return [f["properties"] | {"the_geom": f["geometry"]} for f in map_of_zones["features"]]
