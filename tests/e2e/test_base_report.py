"""Trips of for-hire vehicles beside TLC's report by base, on real months and on both engines."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from tests.e2e.conftest import Place
from tests.support import postgres
from tests.support.api import Api, serving_api
from tests.support.socrata import (
    BASE_REPORT,
    BASES,
    base_report,
    records,
    socrata,
)
from tests.support.socrata import ZONES as OPEN_DATA_ZONES
from tests.support.trips import ZONES, publish, trips, with_column

pytestmark = pytest.mark.slow

JANUARY = date(2024, 1, 1)
BY_MONTH = (
    "select service, trips, tlc_trips, unreported_base_trips, bases, tlc_bases, status"
    " from marts.base_reconciliation_monthly order by service"
)
BY_BASE = (
    "select service, base_number, trips, tlc_trips, status from marts.base_reconciliation"
    " order by service, base_number"
)
NAMED = (
    "select base_number, base_name, company, is_licensed from marts.dim_bases"
    " where base_number in ('B00013', 'B00014', 'B02764', 'B03404') order by 1"
)


@pytest.fixture
def api() -> Iterator[Api]:
    with serving_api() as server:
        yield server


@pytest.fixture
def there(place: Place, api: Api) -> Place:
    """A place whose source of bases is on the server."""
    place.env |= {
        "MEDALLION_ENABLED_SOURCES": "tlc,nyc_open_data",
        "MEDALLION_NYC_OPEN_DATA_URL": api.url,
    }
    outline = {"type": "MultiPolygon", "coordinates": []}
    zone = {"objectid": "1", "zone": "Newark Airport", "the_geom": outline}
    api.routes[OPEN_DATA_ZONES] = socrata([zone])
    return place


def built(place: Place, *target: str, strict: int = 0) -> dict[str, Any]:
    """Land, load and build everything; return what the audit says."""
    place.medallion("run", "--quiet", *target)
    found: dict[str, Any] = place.medallion_json("audit", "--strict", *target, expect=strict)
    return found


def test_real_rows_are_found_at_the_bases_of_the_report(
    there: Place, api: Api, real_data: Path
) -> None:
    for name in (
        "trip-data/fhv_tripdata_2020-04.parquet",
        "trip-data/fhvhv_tripdata_2020-04.parquet",
        "misc/taxi_zone_lookup.csv",
        "misc/data_reports_monthly.csv",
    ):
        (there.published / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(real_data / name, there.published / name)
    api.routes[BASES] = socrata(
        [
            {"license_number": b["base_number"], "entity_name": b["base_name"]}
            for b in records(real_data / "misc" / "fhv_bases.csv")
        ]
    )
    api.routes[BASE_REPORT] = socrata(base_report(real_data))
    audit = built(there, strict=1)
    # 1,000 random rows of each month: 7 of them are of bases that the report does not have
    assert there.query(BY_MONTH) == [
        ("fhv", 1000, 560490, 7, 233, 439, "out_of_tolerance"),
        ("fhvhv", 1000, 4312909, 0, 3, 3, "out_of_tolerance"),
    ]
    assert there.query(
        "select base_number, trips, tlc_trips from marts.base_reconciliation"
        " where service = 'fhvhv' order by 1"
    ) == [("LYFT", 293, 1144083), ("UBER", 695, 3102835), ("VIA", 12, 65991)]
    assert audit["comparisons"]["bases"] == {
        "not_assessed": 439,
        "not_reported": 2,
        "out_of_tolerance": 3,
    }
    assert "fhvhv 2020-04 (trips of UBER) differs" in there.last_stderr
    assert "-99.82 % (no tolerance) and is outside the register's band" in there.last_stderr
    shown = there.medallion("audit")
    assert (
        "Published report by base: months 2 out of tolerance;"
        " bases 439 not assessed, 2 not reported, 3 out of tolerance."
    ) in shown
    assert "fhvhv 2020-04 (trips of UBER) differs" in shown
    # the bases of a company are known by their licences, also of fhv months before there were any
    assert there.query(
        "select company, count(*) from marts.dim_bases where company is not null"
        " group by 1 order by 1"
    ) == [("Juno", 4), ("Lyft", 2), ("Uber", 30), ("Via", 2)]
    # a company that ended has the last month of its trips in the report
    assert there.query(
        "select companies.company, companies.last_month = max(report.report_month)"
        " from marts.dim_companies as companies"
        " inner join staging.stg_nyc_open_data__fhv_base_report as report"
        " on report.base_number = upper(companies.company)"
        " where companies.last_month is not null"
        " group by companies.company, companies.last_month order by 1"
    ) == [("Juno", True), ("Via", True)]

    _count_published_rows(there, real_data)
    there.dbt("run", "--select", "base_reconciliation", "base_reconciliation_monthly")
    verdicts = there.query(
        "select service, status, count(*) from marts.base_reconciliation_monthly"
        " where month <= date '2022-03-01' group by 1, 2 order by 1, 2"
    )
    # every month of the report, by the rows of the published files
    assert verdicts == [
        ("fhv", "known_divergence", 51),
        ("fhv", "reconciled", 36),
        ("fhvhv", "reconciled", 38),
    ]
    assert there.query(
        "select median(abs(diff)), count(*) filter (abs(diff) <= 1), count(*) from ("
        " select 100.0 * (sum(trips) - sum(tlc_trips)) / sum(tlc_trips) as diff"
        " from marts.base_reconciliation_monthly group by month having sum(tlc_trips) > 0)"
    ) == [(pytest.approx(0.154, abs=0.001), 57, 87)]


def _count_published_rows(place: Place, real_data: Path) -> None:
    """Put the rows of all files that TLC has published in the place of those that were counted."""
    rows = [
        (service, date.fromisoformat(f"{rest[:7]}-01"), int(row["rows"]))
        for row in records(real_data / "misc" / "tlc_file_rows_2009-2024.csv")
        for service, _, rest in [row["file"].partition("_tripdata_")]
        if service in ("fhv", "fhvhv")
    ]
    with duckdb.connect(place.warehouse) as connection:
        connection.execute("delete from intermediate.int_report_counts")
        connection.executemany(
            "insert into intermediate.int_report_counts"
            " (service, source_month, file_key, trips, shared_trips, timed_trips, timed_seconds,"
            " card_trips, payment_unknown_trips) values (?, ?, 0, ?, 0, 0, 0, 0, 0)",
            rows,
        )


def test_bases_are_compared_alike_on_both_engines(there: Place, api: Api, tmp_path: Path) -> None:
    bases = [["B00013", "b00014 ", None, "B02764"][i % 4] for i in range(40)]
    publish(there.published, "taxi_zone_lookup", None, ZONES)
    for dataset, named in (("fhv", bases), ("fhvhv", ["B03404"] * 40)):
        month = with_column(
            trips(dataset, JANUARY, rows=40), "dispatching_base_num", named, pa.string()
        )
        if dataset == "fhvhv":
            month = with_column(month, "hvfhs_license_num", ["HV0003"] * 40, pa.string())
        publish(there.published, dataset, JANUARY, month)
    api.routes[BASES] = socrata(
        [{"license_number": "B03404", "entity_name": "UBER USA, LLC", "type_of_base": "BLACK CAR"}]
    )
    api.routes[BASE_REPORT] = socrata(
        [
            _line("B00013", "LOVE CORPORATE CAR INC", 10),
            _line("B00014", "T-D MAINTENANCE", 11),
            _line("B03404", "UBER USA, LLC", 40),
        ]
    )
    found = []
    with ExitStack() as stack:
        server = stack.enter_context(postgres.server(tmp_path / "postgres"))
        there.env |= stack.enter_context(postgres.database(server))
        for target in ("duckdb", "postgres"):
            audit = built(there, "--target", target, strict=1)
            found.append((_asked(there, target, BY_MONTH, BY_BASE, NAMED), audit["comparisons"]))
    assert found[0] == found[1]
    ((by_month, by_base, named), _) = found[0]
    assert by_month == [
        ("fhv", 40, 21, 20, 4, 2, "out_of_tolerance"),
        ("fhvhv", 40, 40, 0, 1, 1, "reconciled"),
    ]
    assert by_base == [
        ("fhv", "B00013", 10, 10, "not_assessed"),
        ("fhv", "B00014", 10, 11, "not_assessed"),
        ("fhv", "B02764", 10, None, "not_reported"),
        ("fhv", "NONE", 10, None, "not_reported"),
        ("fhvhv", "B03404", 40, 40, "reconciled"),
    ]
    assert named == [
        ("B00013", "LOVE CORPORATE CAR INC", None, False),
        ("B00014", "T-D MAINTENANCE", None, False),
        ("B02764", None, "Uber", False),
        ("B03404", "UBER USA, LLC", "Uber", True),
    ]


def _line(base: str, name: str, total: int) -> dict[str, str]:
    return {
        "base_license_number": base,
        "base_name": name,
        "year": "2024",
        "month": "1",
        "month_name": "January",
        "total_dispatched_trips": str(total),
        "total_dispatched_shared_trips": "0",
        "unique_dispatched_vehicles": "3",
    }


def _asked(place: Place, target: str, *queries: str) -> list[list[tuple[Any, ...]]]:
    if target == "duckdb":
        return [place.query(sql) for sql in queries]
    with closing(postgres.connect(place.env)) as connection, connection.cursor() as cursor:
        answers = []
        for sql in queries:
            cursor.execute(sql)
            answers.append(cursor.fetchall())
        return answers
