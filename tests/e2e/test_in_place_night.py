"""The lake read where it lies, in each store: nothing is loaded, and no mart differs."""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import WITHOUT_UNIT_TESTS, Place, differing
from tests.support.samples import publish_part
from tests.support.stores import Store

pytestmark = pytest.mark.slow

SECRETS = ("AWS_SECRET_ACCESS_KEY", "AZURE_STORAGE_CONNECTION_STRING")


def in_place(part: Place, folder: Path, lake_url: str | None = None) -> Place:
    """A place of its own for the same published files, whose raw rows stay in the lake."""
    place = Place(folder)
    place.env = {
        "MEDALLION_TLC_URL": part.published.as_uri(),
        "MEDALLION_LAKE_URL": lake_url or str(place.lake),
        "MEDALLION_RAW": "in_place",
    }
    return place


def raw_relations(place: Place) -> dict[str, str]:
    """What there is in ``raw`` besides ``files`` and dlt's own tables: table or view, by name."""
    found = place.query(
        "select table_name, table_type from information_schema.tables"
        " where table_schema = 'raw' and table_name <> 'files' and table_name not like '\\_%'"
        " escape '\\'"
    )
    return dict(found)


def files_with(folder: Path, secret: str) -> list[str]:
    """The files below a folder that hold these characters."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    assert paths
    return [str(path) for path in paths if secret.encode() in path.read_bytes()]


# of a folder, test_a_warehouse_changes_its_mode_and_no_fact_is_built_anew says so
@pytest.mark.parametrize("store", ["s3", "gs", "az"], indirect=True)
def test_every_mart_is_what_it_is_when_loaded_and_no_secret_is_left_anywhere(
    part: Place, store: Store, tmp_path: Path
) -> None:
    place = in_place(part, tmp_path, store.new_lake("lake '#1"))
    said = place.medallion("land", "--quiet") + place.last_stderr
    said += place.medallion("load", "--quiet") + place.last_stderr
    # by itself, as in its own folder; with the tests of data in one store, because rows that are
    # the same pass them as well
    without = () if store.kind == "s3" else ("--exclude-resource-type", "test")
    said += place.dbt("build", *WITHOUT_UNIT_TESTS, *without) + place.last_stderr
    assert set(raw_relations(place).values()) == {"VIEW"}
    assert differing(part.warehouse, place.warehouse) == {}
    assert place.medallion_json("audit")["unbalanced"] == []
    for name in SECRETS:
        if secret := store.environment.get(name):
            assert secret not in said
            assert files_with(tmp_path, secret) == []


@pytest.fixture(scope="module")
def local(part: Place, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The sample read in place from a folder; after a test, it is as it was before."""
    folder = tmp_path_factory.mktemp("local")
    place = in_place(part, folder, str(folder / "lake '#1"))
    place.report = place.medallion_json("run", "--quiet")  # type: ignore[attr-defined]
    return place


def test_every_command_says_what_it_says_when_loaded(part: Place, local: Place) -> None:
    (trip,), *_ = part.query(
        "select trip_id from marts.fct_trips where invalid_reason = 'negative_distance'"
    )

    def said(place: Place) -> list[Any]:
        explained = place.medallion_json("explain", str(trip))
        sql = "select source_month, count(*), sum(fare_amount) from tlc.green_tripdata group by 1"
        return [
            explained | {"landed_at": None},
            sorted(place.medallion("query", sql, "--format", "csv").splitlines()),
            place.medallion_json("status")["files"],
            place.medallion_json("audit"),
        ]

    assert said(local) == said(part)


def test_a_second_run_finds_nothing_new(local: Place) -> None:
    before = local.fingerprint()
    again = local.medallion_json("run", "--quiet")
    assert (again["new"], again["loaded"], again["built"]) == ([], [], False)
    assert local.fingerprint() == before


def test_a_warehouse_changes_its_mode_and_no_fact_is_built_anew(part: Place, local: Place) -> None:
    def kinds() -> set[str]:
        assert differing(part.warehouse, local.warehouse) == {}
        return set(raw_relations(local).values())

    def run(mode: str) -> set[str]:
        local.env["MEDALLION_RAW"] = mode
        local.medallion("run", "--quiet")
        return kinds()

    def built() -> list[tuple[Any, ...]]:
        return local.query("select * from intermediate.month_builds order by all")

    first = built()
    assert kinds() == {"VIEW"}
    assert run("loaded") == {"BASE TABLE"}
    assert run("in_place") == {"VIEW"}
    assert built() == first


def test_what_is_read_follows_a_lake_that_moved(part: Place, tmp_path: Path) -> None:
    place = in_place(part, tmp_path)
    place.medallion("land", "--quiet")
    place.medallion("load", "--quiet")
    place.lake.rename(tmp_path / "moved")
    place.env["MEDALLION_LAKE_URL"] = str(tmp_path / "moved")
    place.medallion("load", "--quiet")
    rows = "select count(*) from tlc.yellow_tripdata"
    assert place.query(rows) == part.query(rows)


def test_postgres_cannot_read_the_lake_in_place(place: Place) -> None:
    place.env |= {"MEDALLION_RAW": "in_place", "PGHOST": "localhost"}
    place.medallion("run", "--target", "postgres", expect=2)
    assert "MEDALLION_RAW=in_place is for DuckDB" in place.last_stderr


def test_doctor_says_what_the_lake_is_read_with(store: Store, place: Place) -> None:
    publish_part(place.published)
    place.env |= {"MEDALLION_RAW": "in_place", "MEDALLION_LAKE_URL": store.new_lake()}
    said = {check["name"]: check for check in place.medallion_json("doctor")}
    expected = {
        "file": "nothing but DuckDB",
        "gs": "gcsfs",
        "s3": "duckdb-extension-httpfs",
        "az": "duckdb-extension-azure",
    }
    assert expected[store.kind] in said["reading in place"]["detail"]


@pytest.mark.parametrize("kind", ["s3", "az"])
def test_wrong_credentials_are_one_line_without_them(
    kind: str, store_servers: Any, part: Place, tmp_path: Path
) -> None:
    store = store_servers(kind)
    place = in_place(part, tmp_path, store.new_lake())
    place.env |= store.environment
    place.medallion("land", "--dataset", "green", "--quiet")
    wrong = "d3Jvbmc" * 8
    place.env |= (
        {"AWS_SECRET_ACCESS_KEY": wrong}
        if kind == "s3"
        else {
            "AZURE_STORAGE_CONNECTION_STRING": ";".join(
                f"AccountKey={wrong}" if part.startswith("AccountKey=") else part
                for part in store.environment["AZURE_STORAGE_CONNECTION_STRING"].split(";")
            )
        }
    )
    place.medallion("load", "--quiet", expect=1)
    assert place.last_stderr.startswith("error: ")
    assert place.last_stderr.count("\n") == 1
    assert wrong not in place.last_stderr
    assert os.environ.get("AWS_SECRET_ACCESS_KEY") != wrong
