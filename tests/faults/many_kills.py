"""Kill a job anywhere, run it again: the marts are those of a run that nobody disturbed."""

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.faults.conftest import Tally
from tests.faults.jobs import Night, copy_of, night_of
from tests.faults.kills import Moment, killed_job
from tests.support import postgres
from tests.support.stores import Store

KINDS = {
    "DuckDB": {},
    "DuckDB in place": {"raw": "in_place"},
    "PostgreSQL": {"target": "postgres"},
}
# the lakes of the short version: what differs most
SHORT = [("DuckDB", "file"), ("DuckDB in place", "s3"), ("PostgreSQL", "file")]
SHORT_KILLS, RANDOM_KILLS, KILLS_IN_A_ROW = 8, 10, 5
TIMES = {1: "", 2: ", twice", SHORT_KILLS: ", many times"}


class Kills:
    """The tests of one kind of warehouse; a file of its own runs in a process of its own."""

    kind: str

    @pytest.fixture(scope="class", params=["file", "s3"])
    @classmethod
    def lake(cls, request: pytest.FixtureRequest) -> str:
        """Where the lake is: in a folder or in a bucket."""
        return str(request.param)

    @pytest.fixture(scope="class")
    @classmethod
    def night(
        cls,
        lake: str,
        at_length: bool,
        tmp_path_factory: pytest.TempPathFactory,
        store_servers: Callable[[str], Store],
        request: pytest.FixtureRequest,
    ) -> Iterator[Night]:
        """The warehouse over that lake; one night behind it, another to come."""
        if (cls.kind, lake) not in SHORT and not at_length:
            pytest.skip("tried with --faults")
        folder = tmp_path_factory.mktemp("kills")
        if (cls.kind, lake) == ("DuckDB", "file"):
            plain_night = request.getfixturevalue("plain_night")
            yield copy_of(plain_night, folder, publishes=True)
            return
        with ExitStack() as stack:
            server = None
            if cls.kind == "PostgreSQL":
                server = stack.enter_context(postgres.server(folder / "server"))
            values: dict[str, Any] = dict(KINDS[cls.kind])
            if cls.kind == "DuckDB":
                values["publish_url"] = str(folder / "job" / "gold")
            yield stack.enter_context(night_of(folder, store_servers(lake), server, **values))

    def test_a_killed_job_is_done_by_the_next(
        self, night: Night, lake: str, at_length: bool, tally: Tally
    ) -> None:
        """At the boundaries of its steps; at length, at random moments and twice, too."""
        kind = f"{self.kind} on {lake}"
        chosen = random.Random(kind)  # the same kills each time
        boundaries = night.undisturbed.boundaries
        kills = [[moment] for moment in boundaries]
        if not at_length:
            # in the order of time, so that a run that was killed still comes to the next moment
            kills = [sorted(chosen.sample(boundaries, SHORT_KILLS), key=boundaries.index)]
        else:
            moments = [
                Moment(seconds=chosen.uniform(0.05, 1.0) * night.undisturbed.seconds)
                for _ in range(RANDOM_KILLS)
            ]
            kills += [[moment] for moment in moments]
            kills += [chosen.sample(boundaries + moments, 2) for _ in range(KILLS_IN_A_ROW)]
        for in_a_row in kills:
            night.job.put_back()
            _recovers(night, in_a_row, kind, tally)

    def test_a_first_run_that_was_killed_is_done_by_the_next(
        self, night: Night, lake: str, at_length: bool, tally: Tally
    ) -> None:
        if not at_length:
            pytest.skip("tried with --faults")
        kind = f"{self.kind} on {lake}"
        chosen = random.Random(kind)
        for moment in chosen.sample(night.undisturbed.boundaries, RANDOM_KILLS):
            night.job.clear()
            _recovers(night, [moment], kind, tally, first=True)


def _recovers(
    night: Night, moments: list[Moment], kind: str, tally: Tally, first: bool = False
) -> None:
    """Kill at each of the moments, run again, and compare with the run that nobody disturbed."""
    settings, environment = night.job.settings, night.job.environment
    killed = sum(killed_job(settings, environment, moment) for moment in moments)
    counts, seconds = night.is_done()
    fault = f"killed{TIMES[len(moments)]} ({kind})"
    tally(fault, times=killed, **counts, seconds=seconds)
    if not first:  # a first run has landed one version less
        left = night.job.left()
        more = {what: names - night.left[what] for what, names in left.items()}
        less = {what: names - left[what] for what, names in night.left.items()}
        assert not any((*more.values(), *less.values())), f"{[*map(str, moments)]}: {more} {less}"
