"""Environments: a warehouse apart over the same lake, which becomes what people see when asked."""

import hashlib
import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ingestion.settings import read_settings
from orchestration.job.environments import promote
from orchestration.job.under_way import only_run
from tests.e2e.conftest import Place
from tests.faults.kills import Moment, die, watch
from tests.support import postgres, processes
from tests.support.samples import copied_project, publish_part

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(part: Place, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A place whose marts are published, with the environment ``try``."""
    made = Place(tmp_path_factory.mktemp("environments") / "place")
    shutil.copytree(part.folder, made.folder, copy_function=shutil.copy2)
    made.env["MEDALLION_PUBLISH_URL"] = str(made.folder / "gold")
    made.medallion("run", "--quiet")
    made.medallion("env", "create", "try")
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
    (made,) = place.medallion_json("env", "list")
    assert (made["name"], made["bytes"]) == ("try", of(place, "try").stat().st_size)
    assert made["built_at"]
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


# The steps of a promotion; a kill comes before or after a call of one.
STEPS = {
    "copy the warehouse": "ingestion.warehouse.duckdb.environments:_copy",
    "rename it": "pathlib:Path.replace",
    "copy a published file": "ingestion.lake.storage.store:Store.copy_from",
    "write to the publications": "ingestion.lake.storage.store:Store.write",
    "put to the publications": "ingestion.lake.storage.store:Store.put",
    "let readers see it": "ingestion.publications.write:swap_in",
}
ROWS = "select count(*) as n from marts.fct_trips"
ANOTHER = {"warehouse": "the warehouse of others", "run": "", "project_version": "", "state": ""}


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def changed(
    request: pytest.FixtureRequest, part: Place, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    """A place whose environment ``try`` has built a month that was published again."""
    made = Place(tmp_path_factory.mktemp("changed") / "place")
    shutil.copytree(part.folder, made.folder, copy_function=shutil.copy2)
    made.env["MEDALLION_PUBLISH_URL"] = str(made.folder / "gold")
    if request.param == "duckdb":
        try_out(made)
        yield made
        return
    with (
        postgres.server(tmp_path_factory.mktemp("postgres")) as server,
        postgres.database(server) as variables,
    ):
        made.env |= variables | {"MEDALLION_TARGET": "postgres"}
        try_out(made)
        yield made
        for environment in made.medallion_json("env", "list"):
            made.medallion("env", "drop", environment["name"], "--yes")


def try_out(place: Place) -> None:
    place.medallion("run", "--quiet")
    for name in ("try", "older"):
        place.medallion("env", "create", name)
    publish_part(place.published, republished=True)
    place.medallion("run", "--quiet", "--env", "try")


def rows(place: Place, *options: str) -> int:
    (found,) = json.loads(place.medallion("query", ROWS, "--format", "json", *options))
    return int(found["n"])


def test_a_manifest_tells_what_the_files_of_its_run_took(changed: Place) -> None:
    manifest = json.loads((changed.folder / "gold-env-try" / "manifest.json").read_text())
    told = manifest["origin"]
    assert told["file_seconds"].keys() == {"land", "load"}
    for seconds in told["file_seconds"].values():
        assert list(seconds) == ["green 2023-02"]
        assert 0 < seconds["green 2023-02"] < 60
    assert told["metrics"]["loaded_files"] == 1


def test_only_what_differs_is_shown(changed: Place) -> None:
    found = changed.medallion_json("diff", "try")
    tables = {table["table"]: table for table in found["tables"]}
    (facts,) = tables["marts.fct_trips"]["months"]
    assert (facts["service"], facts["month"]) == ("green", "2023-02-01")
    assert (facts["before"], facts["after"]) == (4209, 4211)
    assert (facts["added"], facts["removed"]) == (2, 0)
    assert tables["marts.ledger"]["columns"]["file_rows"] == 1
    # the other way round, the same rows are removed
    back = changed.medallion_json("diff", found["before"], "try")
    (facts,) = (t["months"][0] for t in back["tables"] if t["table"] == "marts.fct_trips")
    assert (facts["added"], facts["removed"]) == (0, 2)
    assert changed.medallion_json("diff", "older")["tables"] == []
    changed.medallion("diff", "tyr", expect=2)
    assert "There is no environment tyr" in changed.last_stderr
    changed.medallion("diff", "try", "20010101", expect=2)
    assert "There is no publication 20010101" in changed.last_stderr


def promoted(environment: dict[str, str], moment: Moment | None, name: str) -> None:
    os.environ.clear()
    os.environ.update(environment)
    for step, where in STEPS.items():
        watch(step, where, [], moment, die)
    promote(read_settings(), name)


def test_a_promotion_that_is_killed_leaves_the_old_or_the_new_one(changed: Place) -> None:
    if "PGHOST" in changed.env:
        pytest.skip("its databases change their names in one transaction")
    gold = changed.folder / "gold"
    kept, aside = [changed.warehouse, gold], changed.folder / "aside"
    aside.mkdir()
    copy(kept, aside)
    views, manifest = gold / "medallion.duckdb", gold / "manifest.json"
    sizes = facts(changed.warehouse), facts(of(changed, "try"))
    assert sizes[1] == sizes[0] + 2
    first = manifest.read_text()
    killed = 0
    for step in STEPS:
        for after in (False, True):
            killed += ended(changed, Moment(step, 1, after=after)) != 0
            assert facts(changed.warehouse) in sizes
            assert facts(views) == sizes[manifest.read_text() != first]
            # again, it does the rest
            assert ended(changed, None) == 0
            assert facts(changed.warehouse) == facts(views) == sizes[1]
            if step == "put to the publications":
                changed.medallion("verify", "--quiet")
            for path in kept:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            copy([aside / path.name for path in kept], changed.folder)
    assert killed == 2 * len(STEPS)


def ended(place: Place, moment: Moment | None, name: str = "try") -> int:
    """Promote in a process that is killed at the moment; return its exit code."""
    process = processes.fork(promoted, (place.environment(), moment, name))
    process.join(processes.PATIENCE_SECONDS)
    assert process.exitcode is not None
    return int(process.exitcode)


def facts(database: Path) -> int:
    with duckdb.connect(database, read_only=True) as connection:
        ((found,),) = connection.execute(ROWS).fetchall()
    return int(found)


def copy(paths: list[Path], folder: Path) -> None:
    for path in paths:
        (shutil.copytree if path.is_dir() else shutil.copy2)(path, folder / path.name)


def test_it_waits_for_nobody_and_takes_only_what_is_good(changed: Place) -> None:
    before = rows(changed), published(changed)
    settings = changed.environment()
    for name in ("", "try"):
        holding = processes.fork(held, (settings, name, changed.folder / "held"))
        processes.wait_until((changed.folder / "held").exists)
        changed.medallion("promote", "try", expect=1)
        assert "Another run" in changed.last_stderr
        holding.kill()
        holding.join()
        (changed.folder / "held").unlink()
    if "PGHOST" in changed.env:
        reader = postgres.connect(changed.env)
        changed.medallion("promote", "try", expect=1)
        assert "while nobody is connected" in changed.last_stderr
        changed.medallion("env", "create", "third", expect=1)
        assert "--empty" in changed.last_stderr
        reader.close()
    # nor does it replace what another warehouse has published at the address since
    manifest = changed.folder / "gold" / "manifest.json"
    own = manifest.read_text()
    manifest.write_text(json.dumps(json.loads(own) | {"origin": ANOTHER}))
    changed.medallion("promote", "try", expect=2)
    assert "holds the publications of the warehouse of others" in changed.last_stderr
    manifest.write_text(own)
    assert (rows(changed), published(changed)) == before


def test_a_change_is_checked_on_postgres(changed: Place, tmp_path: Path) -> None:
    if "PGHOST" not in changed.env:
        pytest.skip("tests/e2e/test_changes.py does it by the page")
    project = copied_project(tmp_path)
    model = project / "dbt_project/models/marts/core/dim_trip_types.sql"
    model.write_text(f"{model.read_text().rstrip()}\nwhere trip_type_id <> 2\n")
    before = rows(changed), published(changed)
    said = changed.run("orchestration.cli", "check-change", "--quiet", "--json", cwd=project)
    found = json.loads(said)
    tables = {table["table"]: table for table in found["diff"]["tables"]}
    assert tables["marts.dim_trip_types"]["months"][0]["removed"] == 1
    # the month that another environment has landed is loaded here too, which is told of
    assert len(found["loaded"]) == 1
    assert "was loaded only here" in changed.last_stderr
    assert (rows(changed), published(changed)) == before
    asked = "select count(*) = 0 as ok from marts.dim_trip_types where trip_type_id = 2"
    assert "True" in changed.medallion("query", "--env", "check", asked, "--format", "csv")
    changed.medallion("env", "drop", "check", "--yes")


def held(environment: dict[str, str], name: str, note: Path) -> None:
    """Hold the lock of a run until somebody ends this process."""
    os.environ.clear()
    os.environ.update(environment)
    with only_run(read_settings().in_environment(name)):
        note.touch()
        signal.pause()


def test_the_environment_takes_the_place_of_what_people_see(changed: Place) -> None:
    old, new = rows(changed), rows(changed, "--env", "try")
    assert new == old + 2
    before = published(changed)
    done = changed.medallion_json("promote", "try")
    assert done["before"] == before["publication"]
    now = published(changed)
    assert (now["publication"], now["run"]) == (done["publication"], "promote try")
    assert rows(changed) == new
    # the next run finds nothing to do, and nothing to publish
    ran = changed.medallion_json("run", "--quiet")
    assert (ran["built"], ran["loaded"], ran["faults"]) == (False, [], [])
    assert published(changed) == now
    # who has less than people see cannot take their place
    changed.medallion("promote", "older", expect=1)
    assert "lacks what people see: green_tripdata_2023_02" in changed.last_stderr
    changed.medallion("rollback", before["publication"])
    assert rows(changed, "--publication", published(changed)["publication"]) == old


def test_promotes_and_a_rollback_at_once_leave_one_truth(changed: Place) -> None:
    if "PGHOST" in changed.env:
        pytest.skip("there a second promote finds the old warehouse, and is refused")
    (first, *_) = changed.medallion_json("publications")
    commands = [("promote", "try"), ("rollback", first["publication"]), ("promote", "try")]
    running = [changed.start("orchestration.cli", *command) for command in commands]
    ended = [process.communicate(timeout=processes.PATIENCE_SECONDS)[1] for process in running]
    codes = [process.returncode for process in running]
    for code, stderr in zip(codes, ended, strict=True):
        assert code in (0, 1, 2)
        assert "Traceback" not in stderr
        assert code == 0 or "error: " in stderr
    # the second promote comes after the first, or is told of it
    assert 0 in (codes[0], codes[2])
    for code, stderr in ((codes[0], ended[0]), (codes[2], ended[2])):
        assert code == 0 or "Another run" in stderr
    gold = changed.folder / "gold"
    with duckdb.connect(gold / "medallion.duckdb", read_only=True) as connection:
        ((seen,),) = connection.execute("select id from publication").fetchall()
    assert published(changed)["publication"] == seen
    changed.medallion("verify", "--quiet")
    assert changed.medallion_json("run", "--quiet")["faults"] == []
    # a rollback that came last holds; one that came first is what the promotion has replaced
    shown = rows(changed, "--publication", published(changed)["publication"])
    assert shown in (rows(changed), rows(changed) - 2)


def test_a_promotion_killed_after_the_change_of_names_is_finished_by_publish(
    changed: Place, tmp_path: Path
) -> None:
    """On PostgreSQL the environment then holds the old warehouse, so it is not promoted again."""
    if "PGHOST" not in changed.env:
        pytest.skip("a file keeps its name: the next promotion does the rest")
    project = copied_project(tmp_path)
    model = project / "dbt_project/models/marts/core/dim_trip_types.sql"
    model.write_text(f"{model.read_text().rstrip()}\nwhere trip_type_id <> 2\n")
    changed.medallion("env", "create", "third")
    changed.run("orchestration.cli", "run", "--quiet", "--env", "third", cwd=project)
    before = published(changed)
    assert ended(changed, Moment("let readers see it", 1), "third") != 0
    ((left,),) = types(changed)
    assert published(changed) == before
    changed.medallion("promote", "third", expect=1)
    assert "What is published is not what the warehouse holds now" in changed.last_stderr
    assert types(changed) == [(left,)]
    changed.medallion("publish", "--quiet")
    now = published(changed)
    assert now["publication"] != before["publication"]
    with duckdb.connect(changed.folder / "gold" / "medallion.duckdb", read_only=True) as seen:
        assert seen.execute("select count(*) from marts.dim_trip_types").fetchall() == [(left,)]
    assert types(changed, "--env", "third") == [(left + 1,)]


def types(place: Place, *options: str) -> list[tuple[int]]:
    """How many types of trips the warehouse has."""
    count = "select count(*) as n from marts.dim_trip_types"
    found = json.loads(place.medallion("query", "--live", count, "--format", "json", *options))
    return [(int(row["n"]),) for row in found]
