"""A run that is asked to end, by Ctrl-C or by whoever stops the machine."""

import signal
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from tests.faults.commands import Command
from tests.faults.conftest import Tally
from tests.faults.jobs import Night, night_of
from tests.faults.kills import Moment, nobody_is_left, signalled_at
from tests.support.stores import Store

pytestmark = pytest.mark.slow

SECONDS = 5.0
# one in each stage, in the main thread and in others
MOMENTS = [
    Moment("check a file", 1),
    Moment("load a table (DuckDB)", 1, after=True),
    Moment("publish the read views", 1),
    Moment("statement of dbt", 150),
]


@pytest.fixture(scope="module")
def night(
    tmp_path_factory: pytest.TempPathFactory, store_servers: Callable[[str], Store]
) -> Iterator[Night]:
    """DuckDB over a folder; one night behind it, another to come."""
    with night_of(tmp_path_factory.mktemp("signals"), store_servers("file"), None) as made:
        yield made


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=str)
def test_a_run_that_is_asked_to_end_does_so(
    night: Night, number: signal.Signals, at_length: bool, tally: Tally
) -> None:
    for moment in MOMENTS if at_length else MOMENTS[3:] + MOMENTS[1:2]:
        night.job.put_back()
        when = night.undisturbed.seconds
        command = Command(
            night.job.settings, {}, "run", "-q", prepare=partial(signalled_at, moment, number)
        )
        done = command.done()
        assert done.code == 128 + number, f"{moment}: {done.stderr}"
        assert "Traceback" not in done.stderr
        # it cannot have taken longer than a whole run and the time it has to end
        assert done.seconds < 3 * when + SECONDS
        nobody_is_left(command.process.pid)
        counts, seconds = night.is_done()
        tally(number.name, **counts, seconds=seconds)
