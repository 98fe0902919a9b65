"""Spark in the middle of a night: a worker, its server or the job is killed, at any moment."""

import os
import random
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from ingestion.warehouse.spark import cluster
from tests.e2e.conftest import Place, differing_on_spark
from tests.faults.conftest import Tally
from tests.support.ports import free_port
from tests.support.samples import publish_part
from tests.support.spark import start, table_files

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]

# builds the months of one service anew, and what follows from them
JOB = ("run", "--quiet", "--full-refresh", "--dataset", "green")
KILLED = ("a worker", "the server", "the job")
TIMES = 3


@dataclass(frozen=True)
class Team:
    """A night that was built on DuckDB and on Spark, and how long the job takes undisturbed."""

    place: Place
    seconds: float

    @property
    def cluster(self) -> Path:
        return Path(self.place.env["MEDALLION_SPARK_DIR"])

    def kill(self, process: str) -> None:
        """Kill one process of the cluster; with a worker, its executor ends."""
        found = cluster.find(self.cluster)
        assert found
        os.kill(found.pids[process], signal.SIGKILL)


def serve(place: Place) -> None:
    """Start a cluster of two workers; if one of its processes has ended, all of them anew."""
    folder, port = (place.env[f"MEDALLION_SPARK_{name}"] for name in ("DIR", "PORT"))
    start(Path(folder), int(port), workers=2)


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory, at_length: bool) -> Iterator[Team]:
    if not at_length:
        pytest.skip("tried with --faults")
    place = Place(tmp_path_factory.mktemp("spark_killed"), patience_seconds=2700)
    publish_part(place.published)
    place.medallion("run", "--quiet")
    place.env |= {
        "MEDALLION_TARGET": "spark",
        "MEDALLION_SPARK_PORT": str(free_port()),
        "MEDALLION_SPARK_DIR": str(place.folder / "cluster"),
        "MEDALLION_SPARK_SCHEMA_PREFIX": "killed_",
    }
    try:
        serve(place)
        place.medallion("run", "--quiet")
        begun = time.monotonic()
        place.medallion(*JOB)
        yield Team(place, time.monotonic() - begun)
    finally:
        cluster.down(place.folder / "cluster")


@pytest.mark.parametrize("what", KILLED)
def test_a_night_that_is_killed_is_done_by_the_next(what: str, team: Team, tally: Tally) -> None:
    """Where a worker is killed, the night itself goes on with the other one."""
    chosen, place = random.Random(what), team.place
    for _ in range(TIMES):
        job = place.start("orchestration.cli", *JOB)
        time.sleep(chosen.uniform(0.05, 0.9) * team.seconds)
        if what == "the job":
            job.kill()
        else:
            team.kill("thrift" if what == "the server" else "worker-2")
        _, stderr = job.communicate(place.patience_seconds)
        assert "Traceback" not in stderr
        told = [line for line in stderr.splitlines() if line.startswith("error: ")]
        if what == "a worker":
            assert job.returncode == 0, stderr
        if what == "the server":
            assert job.returncode == 1, stderr

        serve(place)
        begun = time.monotonic()
        place.medallion("run", "--quiet")
        differing = differing_on_spark(place, partial(table_files, place.env))
        tally(
            f"Spark: {what} is killed",
            wrong=sum(differing.values()),
            silent=int(len(told) != 1) if what == "the server" else None,
            seconds=time.monotonic() - begun,
        )
