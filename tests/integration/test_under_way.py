"""What others see of a run that is under way, and of one that was killed."""

import json
import os
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ingestion.progress import Quiet
from ingestion.settings import PROJECT_ROOT, Settings
from ingestion.warehouse import connect, engine_for
from orchestration.job import run_files
from orchestration.job.last_run import last_recorded, recorded
from orchestration.job.pipeline import run
from orchestration.job.under_way import run_under_way
from tests.conftest import MakeSettings
from tests.support import postgres, processes
from tests.support.trips import ZONES, publish, trips

JANUARY = date(2024, 1, 1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with postgres.server(tmp_path_factory.mktemp("postgres")) as variables:
        yield variables


@pytest.fixture(params=["duckdb", "postgres"])
def settings(
    request: pytest.FixtureRequest,
    published: Path,
    make_settings: MakeSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Settings]:
    """A publisher with two files, and an empty warehouse on each engine."""
    publish(published, "green", JANUARY, trips("green", JANUARY))
    publish(published, "taxi_zone_lookup", None, ZONES)
    if request.param == "duckdb":
        yield make_settings()
        return
    with postgres.database(request.getfixturevalue("server")) as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield make_settings(target=request.param)


class Stopping(Quiet):
    """Stops when the first file of the stage ``load`` is done, with the warehouse open."""

    def __init__(self, stopped: Any, go_on: Any):
        self._stopped, self._go_on = stopped, go_on
        self._stage = ""

    def stage(self, name: str, _files: int, _total_bytes: int | None = None, /) -> None:
        self._stage = name

    def file_done(self, _name: str, _note: str, _rows: int | None = None, /) -> None:
        if self._stage == "load":
            self._stopped.set()
            self._go_on.wait()


def run_until_loading(
    settings: Settings, variables: dict[str, str], stopped: Any, go_on: Any
) -> None:
    os.environ.update(variables)
    run(settings, progress=Stopping(stopped, go_on))


@pytest.fixture
def loading(settings: Settings) -> Iterator[Any]:
    """The process of a run that has loaded one of two files."""
    variables = {name: value for name, value in os.environ.items() if name.startswith("PG")}
    stopped, go_on = processes.event(), processes.event()
    process = processes.start(run_until_loading, settings, variables, stopped, go_on)
    assert stopped.wait(processes.PATIENCE_SECONDS)
    yield process
    if process.is_alive():
        processes.kill(process)


def medallion(settings: Settings, *arguments: str) -> processes.Done:
    """A command of somebody else with these settings."""
    values = {
        f"MEDALLION_{name.upper()}": str(value)
        for name, value in settings.model_dump(mode="json").items()
        if value
    }
    return processes.run_command(
        "orchestration.cli", arguments, PROJECT_ROOT, dict(os.environ) | values
    )


def test_others_see_who_runs_and_how_far_until_it_is_killed(
    settings: Settings, loading: Any
) -> None:
    def one_is_loaded() -> bool:
        found = run_under_way(settings)
        return found is not None and found.done == 1

    processes.wait_until(one_is_loaded)
    found = run_under_way(settings)
    assert found is not None
    assert re.fullmatch(rf"pid {loading.pid} on \S+", found.who)
    assert (found.by, found.command, found.stage) == ("medallion", "run", "load")
    assert (found.total, found.unit) == (2, "files")
    assert found.total_bytes is not None
    assert 0 < found.done_bytes < found.total_bytes
    assert found.since is not None
    assert found.stage_since is not None
    assert datetime.now(UTC) - timedelta(minutes=5) < found.since <= found.stage_since
    assert found.expected_end is None  # it is the first run

    facts = rf"medallion run \(pid {loading.pid} on \S+\), since .* UTC, at load \(1 of 2 files, "
    refused = medallion(settings, "run", "--quiet")
    assert refused.code == 1
    assert re.match(rf"error: Another run is under way on .*: {facts}", refused.error)

    shown = medallion(settings, "status")
    assert re.search(rf"^under way: {facts}", shown.stdout, re.MULTILINE)
    as_json = json.loads(medallion(settings, "status", "--json").stdout)["run_under_way"]
    assert (as_json["stage"], as_json["done"], as_json["total"]) == ("load", 1, 2)

    processes.kill(loading)
    assert run_files.read(run_files.under_way_file(settings))["stage"] == "load"
    # a server takes a moment to see that a client is gone
    processes.wait_until(lambda: run_under_way(settings) is None)
    shown = medallion(settings, "status").stdout
    told = (
        r"^last run: +medallion run at .*, failed: it was ended from outside at load; run it again"
    )
    assert re.search(told, shown, re.MULTILINE)
    with engine_for(settings).only_run():  # another one, which does not say what it is at
        later = run_under_way(settings)
    assert later is not None
    assert (later.who.split()[1], later.command, later.stage) == (str(os.getpid()), None, None)


@pytest.mark.parametrize("settings", ["postgres"], indirect=True)
def test_from_another_machine_and_account_it_is_seen_who_runs_and_since_when(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = settings.model_copy(update={"work_dir": tmp_path / "another machine"})
    role = f"looker_{os.getpid()}"
    with connect(settings) as session:
        session.execute(f"create role {role}")
    with recorded(settings, "run") as this:
        this.begin("land")
        monkeypatch.setenv("PGOPTIONS", f"-c role={role}")
        found = run_under_way(elsewhere)
        monkeypatch.delenv("PGOPTIONS")
    with connect(settings) as session:
        session.execute(f"drop role {role}")
    assert found is not None
    assert found.since is not None
    assert (found.command, found.stage) == (None, None)
    assert found.who.startswith(f"pid {os.getpid()} on ")


@pytest.mark.parametrize("settings", ["duckdb"], indirect=True)
def test_looking_on_refuses_no_run_that_begins(settings: Settings) -> None:
    looker = processes.start(look_for_ever, settings)
    seen = 0
    for _ in range(300):
        with engine_for(settings).only_run():
            seen += 1
    processes.kill(looker)
    assert seen == 300


def look_for_ever(settings: Settings) -> None:
    engine = engine_for(settings)
    while True:
        engine.holder()


@pytest.mark.parametrize("settings", ["duckdb"], indirect=True)
class TestExpectedEnd:
    """When a run should be done, as far as that can be known."""

    @pytest.mark.parametrize("command", ["run", "backfill of 2024-02"])
    def test_of_a_stage_without_a_rate_is_what_it_took_last(
        self, settings: Settings, command: str
    ) -> None:
        took = {"land": 60.0, "load": 600.0, "transform": 1200.0, "audit": 5.0}
        run_files.write(run_files.record_file(settings), {"took": {"run": took, "backfill": took}})
        with recorded(settings, command) as this:
            this.begin("load")
            found = run_under_way(settings)
        assert found is not None
        assert found.stage_since is not None
        assert found.expected_end is not None
        end = found.stage_since + timedelta(seconds=600 + 1200 + 5)
        assert abs(found.expected_end - end) < timedelta(seconds=1)
        assert f"it should be done at about {found.expected_end:%Y-%m-%d %H:%M} UTC" in str(found)

    def test_of_a_stage_with_a_rate_goes_on_at_this_rate(self, settings: Settings) -> None:
        took = {"land": 60.0, "load": 600.0, "transform": 1200.0, "audit": 5.0}
        run_files.write(run_files.record_file(settings), {"took": {"run": took}})
        with recorded(settings, "run") as this:
            this.begin("transform")
            this.stage("transform", 4)
            this.file_done("a", "")

            def one_is_done() -> bool:
                now = run_under_way(settings)
                return now is not None and now.done == 1

            processes.wait_until(one_is_done)
            before = datetime.now(UTC)
            found = run_under_way(settings)
            after = datetime.now(UTC)
        assert found is not None
        assert found.stage_since is not None
        assert found.expected_end is not None
        for moment, end in ((before, found.expected_end), (after, found.expected_end)):
            # of four, one is done: three times as long as until now, and then the audit
            expected = moment + 3 * (moment - found.stage_since) + timedelta(seconds=5)
            assert abs(end - expected) < timedelta(seconds=1)

    def test_is_learned_from_good_runs_with_work(self, settings: Settings) -> None:
        for fault in ("", "it failed"):
            with recorded(settings, "run") as this:
                for stage in ("land", "load"):
                    this.begin(stage)
                    this.stage(stage, 1)
                    this.file_done("a", "")
                this.errors += [fault] * bool(fault)
                if fault:
                    this.begin("transform")
        last = last_recorded(settings)
        assert last is not None
        assert last["error"] == "it failed"
        # the record of the failed run keeps what the good one took
        took = run_files.read(run_files.record_file(settings))["took"]["run"]
        assert list(took) == ["land", "load"]
        assert run_under_way(settings) is None
