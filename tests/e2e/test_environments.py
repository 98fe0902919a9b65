"""Environments: a warehouse apart over the same lake, which becomes what people see when asked."""

import hashlib
import shutil
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.e2e.conftest import Place


@pytest.fixture(scope="module")
def place(part: Place, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A place whose marts are published; the tests use it one after the other."""
    made = Place(tmp_path_factory.mktemp("environments") / "place")
    shutil.copytree(part.folder, made.folder, copy_function=shutil.copy2)
    made.env["MEDALLION_PUBLISH_URL"] = str(made.folder / "gold")
    made.medallion("run", "--quiet")
    return made


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def of(place: Place, name: str) -> Path:
    return place.folder / f"warehouse.env-{name}.duckdb"


def published(place: Place, *options: str) -> Any:
    """The current publication."""
    (found,) = (p for p in place.medallion_json("publications", *options) if p["is_current"])
    return found


def test_an_environment_is_a_copy_in_which_only_what_is_stale_is_built(place: Place) -> None:
    before = published(place)
    made = place.medallion_json("env", "create", "try")
    assert (made["name"], made["bytes"]) == ("try", of(place, "try").stat().st_size)
    assert [e["name"] for e in place.medallion_json("env", "list")] == ["try"]
    ran = place.medallion_json("run", "--quiet", "--env", "try")
    assert (ran["built"], ran["loaded"], ran["faults"]) == (False, [], [])
    assert str(of(place, "try")) in ran["warehouse"]
    assert published(place, "--env", "try")["bytes"] == before["bytes"]
    assert published(place) == before
    # the published files are there once, under two names
    (main, *_), (other, *_) = (
        sorted((place.folder / gold / "marts/fct_trips").rglob("*.parquet"))
        for gold in ("gold", "gold-env-try")
    )
    assert main.samefile(other)


def test_dbt_alone_builds_in_the_environment_that_is_set(place: Place) -> None:
    before = digest(place.warehouse)
    with duckdb.connect(of(place, "try")) as connection:
        connection.execute("delete from marts.dim_vendors")
    place.env["MEDALLION_ENV"] = "try"
    try:
        place.dbt("build", "--select", "dim_vendors", "--full-refresh")
        place.run("ingestion", "--dataset", "green")
        assert str(of(place, "try")) in place.medallion("doctor", "--json")
        count = "select count(*) > 1 from marts.dim_vendors"
        assert "True" in place.medallion("query", count, "--format", "csv")
    finally:
        del place.env["MEDALLION_ENV"]
    assert digest(place.warehouse) == before


def test_a_name_that_is_unknown_or_bad_is_refused(place: Place) -> None:
    for verb in (
        ("run",),
        ("load",),
        ("transform",),
        ("status",),
        ("query", "select 1"),
        ("audit",),
    ):
        place.medallion(*verb, "--env", "tyr", expect=2)
        assert "There is no environment tyr" in place.last_stderr
    place.env["MEDALLION_ENV"] = "tyr"
    place.run("ingestion", expect=2)
    del place.env["MEDALLION_ENV"]
    assert "There is no environment tyr" in place.last_stderr
    for verb in (("env", "drop", "tyr", "--yes"), ("promote", "tyr")):
        place.medallion(*verb, expect=2)
        assert "There is no environment tyr" in place.last_stderr
    assert not of(place, "tyr").exists()
    for name in ("Try", "a b", "../x", "x" * 21, "1st", "a-b", "a.b", "é"):
        place.medallion("env", "create", name, expect=2)
        assert "cannot name an environment" in place.last_stderr
    place.medallion("env", "create", "try", expect=2)
    assert "already" in place.last_stderr
    place.env["MEDALLION_ENV"] = "No Name"
    place.medallion("status", expect=2)
    del place.env["MEDALLION_ENV"]
    assert "MEDALLION_ENV: take up to 20" in place.last_stderr


def test_drop_asks_and_leaves_nothing(place: Place) -> None:
    place.medallion("env", "create", "empty", "--empty")
    place.medallion("env", "drop", "empty", expect=1)  # nobody answers
    assert of(place, "empty").exists()
    for name in ("empty", "try"):
        place.medallion("env", "drop", name, "--yes")
    left = [p.name for p in place.folder.iterdir() if "env-" in p.name]
    assert left == []
    assert place.medallion_json("env", "list") == []
