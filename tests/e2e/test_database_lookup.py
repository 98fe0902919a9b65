"""A table of a PostgreSQL database, joined to trips as docs/sources.md shows it."""

import csv
import re
import shutil
from collections import Counter
from contextlib import closing
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ingestion.settings import PROJECT_ROOT
from tests.e2e.conftest import Place
from tests.support import postgres

pytestmark = pytest.mark.slow

PAGE = PROJECT_ROOT / "docs" / "sources.md"
ANSWER = "select dispatching_base_num, base_name, trips from marts.trips_by_base"


def shown(language: str, beginning: str) -> str:
    """The block of code of the page that begins so."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    (block,) = (b for b in blocks if b.startswith(beginning))
    return str(block)


def keep_bases(dispatch: dict[str, str], real_data: Path) -> dict[str, str]:
    """Make the tables of the page in the dispatch database, with TLC's bases by name."""
    with (real_data / "misc" / "fhv_bases.csv").open(encoding="utf-8-sig", newline="") as file:
        names = {row["base_number"]: row["base_name"] for row in csv.DictReader(file)}
    with closing(postgres.connect(dispatch)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "create table bases (base text primary key, name text, opened date, photo bytea);"
            "create table dispatches (id integer primary key, created_at timestamp not null,"
            " base text, fare numeric(8, 2));"
            "insert into dispatches values (1, now(), 'B02872', 12.5)"
        )
        cursor.executemany("insert into bases (base, name) values (%s, %s)", [*names.items()])
    return names


def test_trips_are_joined_to_bases_of_a_postgres_database(
    place: Place, real_data: Path, tmp_path: Path
) -> None:
    trips = "trip-data/fhvhv_tripdata_2020-04.parquet"
    (place.published / "trip-data").mkdir()
    shutil.copyfile(real_data / trips, place.published / trips)
    shutil.copytree(real_data / "misc", place.published / "misc")
    declared = tmp_path / "sources" / "dispatch"
    declared.mkdir(parents=True)
    (declared / "source.toml").write_text(shown("toml", "# my-sources/dispatch/source.toml"))
    project = tmp_path / "dbt_project"
    ignored = shutil.ignore_patterns("target", "logs")
    shutil.copytree(PROJECT_ROOT / "dbt_project", project, ignore=ignored)
    marts = project / "models" / "marts"
    model = shown("sql", "-- Grain: one base that dispatched trips.")
    (marts / "trips_by_base.sql").write_text(model)
    contract = shown("yaml", "version: 2\n\nmodels:\n  - name: trips_by_base")
    (marts / "trips_by_base.yml").write_text(contract)
    with (
        postgres.server(tmp_path / "postgres") as server,
        postgres.database(server) as dispatch,
        postgres.database(server) as warehouse,
    ):
        names = keep_bases(dispatch, real_data)
        place.env |= warehouse | {
            "MEDALLION_SOURCES": str(declared.parent),
            "MEDALLION_ENABLED_SOURCES": "tlc,dispatch",
            "DISPATCH_DATABASE": postgres.url_of(dispatch),
        }
        place.run("ingestion")
        place.medallion("load", "--quiet", "--target", "postgres")
        staging = project / "models" / "staging"
        place.medallion("source", "scaffold", "dispatch", "--out", str(staging))
        for target in ("duckdb", "postgres"):
            place.dbt(
                *("build", "--target", target, "--exclude-resource-type", "unit_test"),
                *("--select", "+trips_by_base", "+ledger_single_files"),
                *("--indirect-selection", "cautious"),
                *("--project-dir", str(project), "--profiles-dir", str(project)),
            )
        on_duckdb = place.query(ANSWER)
        with closing(postgres.connect(warehouse)) as connection, connection.cursor() as cursor:
            cursor.execute(ANSWER)
            on_postgres = cursor.fetchall()
    column = pq.read_table(real_data / trips, columns=["dispatching_base_num"]).column(0)
    expected = Counter(column.to_pylist())
    found = {base: (name, count) for base, name, count in on_duckdb}
    assert found == {base: (names.get(base), count) for base, count in expected.items()}
    assert len([name for name, _ in found.values() if name]) > 1
    assert sorted(on_duckdb) == sorted(on_postgres)
    # the table is in the ledger, as what TLC publishes is
    assert place.query(
        "select file_rows, raw_rows, is_balanced from marts.ledger_single_files"
        " where dataset = 'licensed_bases'"
    ) == [(len(names), len(names), True)]
