"""The nightly flow whose server goes away, or that is killed: the next night is as any other."""

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.conftest import Tally
from tests.faults.jobs import Night, copy_of
from tests.faults.kills import compared
from tests.support.orchestrator import Server, Worker, flow_processes, serving, wait_for
from tests.support.processes import wait_until
from tests.support.web import Stall, Web
from tests.support.web import serving as publisher

pytestmark = pytest.mark.slow

NEW = "trip-data/green_tripdata_2023-03.parquet"
TASKS = ("land green 2023-03", "load green 2023-03", "dbt build", "audit")
RANDOM_KILLS = 16


@dataclass(frozen=True)
class Team:
    """A night to come with news, the publisher, the server and the worker that it runs on."""

    server: Server
    web: Web
    night: Night

    def begin(self) -> str:
        """A run of the deployment where nothing of the night is done; its id."""
        self.night.job.put_back()
        return self.next()

    def next(self) -> str:
        """One more run; its id."""
        return self.server.run(start="2023-01", end="2023-03", datasets=["green"])

    def tasks(self, run: str) -> list[str]:
        """The tasks of a run and its subflows that have begun."""
        runs = [run, *(r["id"] for r in self.server.runs_of(run))]
        return [task["name"] for r in runs for task in self.server.tasks(r)]

    def done(self, run: str) -> dict[str, int]:
        """Rows lost, doubled and wrong when a run is over; fails where something is left behind."""
        ended = self.server.ended(run)
        assert ended["state_name"] == "Completed", (ended["state"], self.server.logs(run))
        found = self.night.job.left()
        left = {what: set(found[what]) ^ set(names) for what, names in self.night.left.items()}
        assert not any(left.values()), left
        return compared(self.night.marts, self.night.job.marts())


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory, plain_night: Path) -> Iterator[Team]:
    folder = tmp_path_factory.mktemp("flow")
    night = copy_of(plain_night, folder)
    with publisher() as web, serving(folder / "prefect") as server:
        published = plain_night / "published"
        for path in (p for p in published.rglob("*") if p.is_file()):
            web.publish(str(path.relative_to(published)), path)
        settings = night.job.settings
        variables = {
            "MEDALLION_TLC_URL": web.url,
            "MEDALLION_REPORT_URL": f"{web.url}/misc/data_reports_monthly.csv",
            "MEDALLION_LAKE_URL": settings.lake_url,
            "MEDALLION_DUCKDB_PATH": str(settings.duckdb_path),
            "MEDALLION_WORK_DIR": str(settings.work_dir),
        }
        worker = Worker(server, folder, variables, "one")
        worker.start()
        try:
            yield Team(server, web, night)
        finally:
            worker.stop()


@dataclass(frozen=True)
class Ended:
    """How a night ended, and how long that took from the end of its fault."""

    counts: dict[str, int]
    seconds: float


def without_server(team: Team, begin: Callable[[], str], seconds: float) -> Ended:
    """Stop the server in the middle of a night, for some seconds longer than a load takes.

    A file that landed before it went is loaded while it is away, and the night goes on.
    """
    server = team.server
    warehouse = Path(team.night.job.settings.duckdb_path)
    with stalled(team.web):
        run = began_to_land(team, begin)
        lease = server.get(f"/flow_runs/{run}")["state"]["state_details"]
        before = warehouse.stat().st_mtime_ns
        server.stop()
    wait_until(lambda: warehouse.stat().st_mtime_ns > before)
    time.sleep(seconds)
    server.start()
    begun = time.monotonic()
    # what a run does every few minutes; it is ended when the answer is no
    lease_id = lease["deployment_concurrency_lease_id"]
    server.post(f"/v2/concurrency_limits/leases/{lease_id}/renew", lease_duration=300)
    return Ended(team.done(run), time.monotonic() - begun)


@contextmanager
def stalled(web: Web) -> Iterator[None]:
    """Send no more than the beginning of the new month for so long."""
    web.released.clear()
    web.fail("GET", NEW, [Stall(10)])
    try:
        yield
    finally:
        web.released.set()


def began_to_land(team: Team, begin: Callable[[], str]) -> str:
    """A run that has asked for the new month; its id."""
    asked = len(team.web.asked("GET", NEW))
    run = begin()
    wait_until(lambda: len(team.web.asked("GET", NEW)) > asked)
    return run


def killed(team: Team, run: str) -> str:
    """Kill the processes of a run; the state in which it then ends."""
    for pid in flow_processes(run):
        os.kill(pid, signal.SIGKILL)
    ended = str(team.server.ended(run)["state_name"])
    assert not flow_processes(run)
    return ended


def record(tally: Tally, fault: str, night: Ended, state: str | None = None) -> None:
    """Record a fault that this night bore, or that ended the night before it in this state."""
    silent = None if state is None else int(state not in ("Crashed", "Completed"))
    tally(fault, silent=silent, **night.counts, seconds=night.seconds)


AWAY, KILLED = "Prefect's server away in the middle of a night", "the nightly flow killed"


def test_the_night_after_one_that_was_killed_bears_that_the_server_is_away(
    team: Team, at_length: bool, tally: Tally
) -> None:
    """The short version of the two tests below: two nights for both faults."""
    if at_length:
        pytest.skip("each fault has nights of its own with --faults")
    with stalled(team.web):
        state = killed(team, began_to_land(team, team.begin))
    night = without_server(team, team.next, 0)
    record(tally, KILLED, night, state)
    record(tally, AWAY, night)


def test_a_server_that_is_away_fails_no_night(team: Team, at_length: bool, tally: Tally) -> None:
    if not at_length:
        pytest.skip("tried together with a kill")
    for seconds in (0, 35, 90):
        record(tally, AWAY, without_server(team, team.begin, seconds))


def test_a_night_whose_flow_is_killed_is_done_by_the_next(
    team: Team, at_length: bool, tally: Tally
) -> None:
    if not at_length:
        pytest.skip("tried together with a server that is away")
    chosen = random.Random("flow")
    kills: list[str | float] = [*TASKS, *(chosen.uniform(0, 20) for _ in range(RANDOM_KILLS))]
    for moment in kills:
        run = team.begin()
        if isinstance(moment, str):
            wait_for(lambda run=run, task=moment: task in team.tasks(run))
        else:
            wait_until(lambda run=run: flow_processes(run))
            time.sleep(moment)
        state = killed(team, run)
        begun = time.monotonic()
        counts = team.done(team.next())
        record(tally, KILLED, Ended(counts, time.monotonic() - begun), state)
