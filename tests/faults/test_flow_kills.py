"""The nightly flow whose server goes away, or that is killed: the next night is as any other."""

import os
import random
import signal
import time
from collections.abc import Iterator
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


def test_a_server_that_is_away_fails_no_night(team: Team, at_length: bool, tally: Tally) -> None:
    """A file that landed before it went is loaded while it is away, and the night goes on."""
    server, web = team.server, team.web
    warehouse = Path(team.night.job.settings.duckdb_path)
    for seconds in (0, 35, 90) if at_length else (0,):
        web.released.clear()
        web.fail("GET", NEW, [Stall(10)])
        asked = len(web.asked("GET", NEW))
        run = team.begin()
        wait_until(lambda asked=asked: len(web.asked("GET", NEW)) > asked)
        lease = server.get(f"/flow_runs/{run}")["state"]["state_details"]
        before = warehouse.stat().st_mtime_ns
        server.stop()
        web.released.set()
        wait_until(lambda before=before: warehouse.stat().st_mtime_ns > before)
        time.sleep(seconds)
        server.start()
        begun = time.monotonic()
        # what a run does every few minutes; it is ended when the answer is no
        lease_id = lease["deployment_concurrency_lease_id"]
        server.post(f"/v2/concurrency_limits/leases/{lease_id}/renew", lease_duration=300)
        counts = team.done(run)
        tally(
            "Prefect's server away in the middle of a night",
            **counts,
            seconds=time.monotonic() - begun,
        )


def test_a_night_whose_flow_is_killed_is_done_by_the_next(
    team: Team, at_length: bool, tally: Tally
) -> None:
    chosen = random.Random("flow")
    kills: list[str | float] = list(TASKS) if at_length else [chosen.choice(TASKS)]
    kills += [chosen.uniform(0, 20) for _ in range(RANDOM_KILLS if at_length else 0)]
    for moment in kills:
        run = team.begin()
        if isinstance(moment, str):
            wait_for(lambda run=run, task=moment: task in team.tasks(run))
        else:
            wait_until(lambda run=run: flow_processes(run))
            time.sleep(moment)
        for pid in flow_processes(run):
            os.kill(pid, signal.SIGKILL)
        ended = team.server.ended(run)["state_name"]
        assert not flow_processes(run)
        begun = time.monotonic()
        counts = team.done(team.next())
        tally(
            "the nightly flow killed",
            **counts,
            silent=int(ended not in ("Crashed", "Completed")),
            seconds=time.monotonic() - begun,
        )
