"""The sources that come with the project, against servers that answer as theirs do."""

import json
import re
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from decimal import Decimal
from pathlib import Path
from shutil import copyfile
from typing import Any

import pytest

from ingestion.settings import PROJECT_ROOT
from tests.e2e.conftest import Place
from tests.support import postgres
from tests.support.api import Api, Asked, Reply, serving_api
from tests.support.socrata import (
    BASE_REPORT,
    BASES,
    ZONES,
    base_report,
    records,
    socrata,
    taxi_zones,
)

pytestmark = pytest.mark.slow

WEATHER = "/data/v1"
# the query that docs/sources.md shows
(SEARCH_ON_POSTGRES,) = re.findall(
    r"^```sql\n(select [^`]*\sfrom marts.document_pages,[^`]*)^```",
    (PROJECT_ROOT / "docs" / "sources.md").read_text(),
    re.MULTILINE,
)
AS_AN_EARLIER_RELEASE = """
    alter table marts.document_pages drop column text_search;
    create index document_pages_text_search
        on marts.document_pages using gin (to_tsvector('english', text))
"""
ENABLED = {"MEDALLION_ENABLED_SOURCES": "weather,nyc_open_data"}


@pytest.fixture
def api() -> Iterator[Api]:
    with serving_api() as server:
        yield server


@pytest.fixture
def there(place: Place, api: Api) -> Place:
    """A place whose sources are on the server."""
    place.env |= ENABLED | {
        "MEDALLION_WEATHER_URL": api.url,
        "MEDALLION_WEATHER_CSV_URL": api.url,
        "MEDALLION_NYC_OPEN_DATA_URL": api.url,
    }
    return place


def noaa(days: list[dict[str, str]]) -> Any:
    """As NOAA answers: an array of the days asked for, every value a text."""

    def answer(asked: Asked) -> Any:
        assert asked.params["dataset"] == "daily-summaries"
        first, last = asked.params["startDate"], asked.params["endDate"]
        return [day for day in days if first <= day["DATE"] <= last]

    return answer


def test_real_weather_and_bases_are_landed_staged_and_kept_in_versions(
    there: Place, api: Api, real_data: Path
) -> None:
    days = records(real_data / "weather" / "central_park_weather.csv")
    known = [d for d in days if d["DATE"] < "2024-02-29"]
    api.routes[WEATHER] = noaa(known)
    bases = [
        {"license_number": b["base_number"], "entity_name": b["base_name"], "type_of_base": ""}
        for b in records(real_data / "misc" / "fhv_bases.csv")
    ]
    api.routes[BASES] = socrata(bases)
    report = base_report(real_data)
    api.routes[BASE_REPORT] = socrata(report)
    zones = taxi_zones(real_data)
    api.routes[ZONES] = socrata(zones)
    months = ("--from", "2023-12", "--to", "2024-02")
    there.medallion("land", "--quiet", *months)
    there.medallion("load", "--quiet")
    there.dbt("build", "--select", "staging.weather", "staging.nyc_open_data")
    assert there.query(
        "select count(*), max(max_temperature_f), sum(precipitation_inches)::decimal(6, 2)"
        " from staging.stg_weather__central_park_daily"
    ) == [_weather_of(known)]
    assert there.query("select count(*) from staging.stg_nyc_open_data__fhv_bases") == [
        (len(bases),)
    ]
    assert there.query(
        "select sum(trips)::bigint, count(distinct report_month)"
        " from staging.stg_nyc_open_data__fhv_base_report"
    ) == [_report_of(report)]
    found = there.query(
        "select zone_id, location_id, zone_name, borough, geometry"
        " from staging.stg_nyc_open_data__nyc_taxi_zones order by zone_id"
    )
    assert [(*row, json.loads(geometry)) for *row, geometry in found] == [
        (int(z["objectid"]), int(z["location_id"]), z["zone"], z["borough"], z["the_geom"])
        for z in sorted(zones, key=lambda z: int(z["objectid"]))
    ]
    # the last day is there now: one month has changed, and nothing else
    api.routes[WEATHER] = noaa(days)
    landed = there.medallion_json("land", "--quiet", *months)
    changed = [f for f in landed if f["outcome"] not in ("unchanged", "same content")]
    assert [(f["file"], f["outcome"]) for f in changed] == [
        ("central_park_daily 2024-02", "re-published")
    ]
    _, second = there.medallion_json("history", "central_park_daily", "2024-02", "--quiet")
    assert (second["version"]["row_count"], second["changes"]["rows"]["added"]) == (29, 1)


def test_the_weather_comes_from_the_api_and_else_from_the_csv_file(
    there: Place, api: Api, real_data: Path, tmp_path: Path
) -> None:
    there.env["MEDALLION_ENABLED_SOURCES"] = "weather,weather_csv"
    saved = real_data / "weather" / "central_park_weather.csv"
    days = records(saved)
    revised = [d | {"TMAX": "99"} if d["DATE"] == "2024-01-31" else d for d in days]
    by_api = noaa(revised)

    def answer(asked: Asked) -> Any:
        if asked.params["format"] == "json":
            return by_api(asked)
        assert by_api(asked) == revised  # it is asked for all days
        return Reply(saved.read_bytes(), headers={"Content-Type": "text/csv"})

    api.routes[WEATHER] = answer
    there.medallion("land", "--quiet", "--from", "2024-01", "--to", "2024-01")
    there.medallion("load", "--quiet")
    there.dbt("build", "--select", "+int_weather_days", "holidays", "dim_dates")
    columns = (
        "weather_date, station_id, station_name, wind_mph, precipitation_inches, snowfall_inches,"
        " snow_depth_inches, max_temperature_f, min_temperature_f"
    )
    by_csv = "staging.stg_weather_csv__central_park_weather"
    assert there.query(
        f"select {columns} from staging.stg_weather__central_park_daily"
        f" except select {columns} from {by_csv}"
    ) == there.query(
        f"select {columns} from staging.stg_weather__central_park_daily"
        " where weather_date = '2024-01-31'"
    )
    known = {date.fromisoformat(d["DATE"]): float(d["TMAX"]) for d in revised if d["TMAX"]}
    for table in ("intermediate.int_weather_days", "marts.dim_dates"):
        day = "weather_date" if "weather" in table else "date_day"
        found = there.query(
            f"select {day}, max_temperature_f from {table} where max_temperature_f is not null"
        )
        assert dict(found) == known
    # somebody saved the file in a folder: it is the same version
    (tmp_path / "saved").mkdir()
    copyfile(saved, tmp_path / "saved" / saved.name)
    there.env["MEDALLION_WEATHER_CSV_URL"] = (tmp_path / "saved").as_uri()
    (landed,) = there.medallion_json("land", "--quiet", "--dataset", "central_park_weather")
    assert (landed["outcome"], landed["rows"]) == ("same content", len(days))


def _weather_of(days: list[dict[str, str]]) -> tuple[Any, ...]:
    asked = [d for d in days if "2023-12-01" <= d["DATE"] <= "2024-02-29"]
    rain = sum((Decimal(d["PRCP"]) for d in asked if d["PRCP"]), Decimal(0))
    return len(asked), max(float(d["TMAX"]) for d in asked), rain


def _report_of(report: list[dict[str, str]]) -> tuple[int, int]:
    distinct = {tuple(sorted(r.items())) for r in report}
    trips = sum(int(dict(r)["total_dispatched_trips"]) for r in distinct)
    return trips, len({(r["year"], r["month"]) for r in report})


@pytest.fixture
def papers(place: Place, real_data: Path, tmp_path: Path) -> Path:
    """The folder in which the place's source of documents has TLC's own."""
    published = tmp_path / "papers"
    published.mkdir()
    for path in (
        *(real_data / "docs").glob("*.pdf"),
        real_data / "misc" / "taxi_zones.zip",
        real_data / "misc" / "taxi_zones.geojson",
    ):
        (published / path.name).write_bytes(path.read_bytes())
    place.env |= {
        "MEDALLION_ENABLED_SOURCES": "tlc_documents",
        "MEDALLION_TLC_DOCUMENTS_URL": published.as_uri(),
    }
    return published


def test_the_real_documents_are_landed_read_and_found(
    place: Place, papers: Path, real_data: Path
) -> None:
    place.medallion("land", "--quiet")
    place.medallion("load", "--quiet")
    place.dbt("build", "--select", "+document_pages")
    listed = {d["name"]: d for d in place.medallion_json("documents")}
    assert len(listed) == 7
    assert all(d["pages"] and not d["reason"] for d in listed.values())
    counted = place.query("select document, count(*) from marts.document_pages group by 1")
    assert dict(counted) == {name: d["pages"] for name, d in listed.items()}
    (best, *_) = place.medallion_json("documents", "search", "shared", "rides", "SR_Flag")
    assert "fhv" in best["document"]
    # a dictionary is published again: it has a second version, and its text follows
    yellow = "data_dictionary_trip_records_yellow.pdf"
    older = next((real_data / "docs" / "older").glob("*yellow_2018*.pdf"))
    (papers / yellow).write_bytes(older.read_bytes())
    landed = {f["file"]: f["outcome"] for f in place.medallion_json("land", "--quiet")}
    assert landed.pop(f"tlc_documents {yellow}") == "re-published"
    assert set(landed.values()) == {"unchanged"}
    again = {d["name"]: d for d in place.medallion_json("documents")}
    assert again[yellow]["version"] != listed[yellow]["version"]
    assert again[yellow]["reason"] is None
    _have_a_library(place, papers, yellow)
    place.medallion("land", "--quiet")
    place.medallion("load", "--quiet")
    place.dbt("build", "--select", "+document_pages")
    assert place.query(
        "select source_name, dataset, document, count(*) from marts.document_pages"
        f" where document = '{yellow}' group by all order by all"
    ) == [
        ("library", "letters", yellow, again[yellow]["pages"]),
        ("tlc_documents", "tlc_documents", yellow, again[yellow]["pages"]),
    ]


def _have_a_library(place: Place, papers: Path, document: str) -> None:
    """Enable a source of the user's own, which has a document of TLC's."""
    letters = place.folder / "letters"
    letters.mkdir()
    copyfile(papers / document, letters / document)
    declared = place.folder / "sources" / "library" / "source.toml"
    declared.parent.mkdir(parents=True)
    declared.write_text(
        f'kind = "documents"\nurl = "{letters.as_uri()}"\n[datasets.letters]\npattern = "*.pdf"\n'
    )
    place.env |= {
        "MEDALLION_SOURCES": str(declared.parents[1]),
        "MEDALLION_ENABLED_SOURCES": "tlc_documents,library",
    }


def test_the_text_of_documents_has_a_search_index_on_postgres(
    place: Place, papers: Path, real_data: Path, tmp_path: Path
) -> None:
    place.env["MEDALLION_TARGET"] = "postgres"
    with postgres.server(tmp_path / "postgres") as server, postgres.database(server) as variables:
        place.env |= variables
        place.medallion("land", "--quiet")
        place.medallion("load", "--quiet")
        place.dbt("build", "--select", "+document_pages")
        with closing(postgres.connect(place.env)) as connection, connection.cursor() as cursor:
            cursor.execute(AS_AN_EARLIER_RELEASE)
        place.dbt("build", "--select", "+document_pages")
        # a document is published again: its pages are replaced, and so are their words
        (older,) = (real_data / "docs" / "older").glob("*hvfhs_2022*.pdf")
        copyfile(older, papers / "data_dictionary_trip_records_hvfhs.pdf")
        place.medallion("land", "--quiet")
        place.medallion("load", "--quiet")
        place.dbt("build", "--select", "+document_pages")
        with closing(postgres.connect(place.env)) as connection, connection.cursor() as cursor:
            cursor.execute(SEARCH_ON_POSTGRES)
            (best, *_) = cursor.fetchall()
            cursor.execute("set enable_seqscan = off")
            cursor.execute("explain " + SEARCH_ON_POSTGRES)
            plan = "\n".join(row[0] for row in cursor.fetchall())
            cursor.execute(
                "select count(*), sum((text_search = to_tsvector('english', text))::int)"
                " from marts.document_pages where text is not null"
            )
            ((pages, with_words),) = cursor.fetchall()
    assert best[0] in {f"data_dictionary_trip_records_{d}.pdf" for d in ("hvfhs", "yellow")}
    assert "<b>congestion</b> <b>surcharge</b>" in best[2].lower()
    assert "document_pages_text_search" in plan
    assert with_words == pages > 0
