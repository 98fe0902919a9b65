"""A run that is asked to end, by Ctrl-C or by whoever stops the machine."""

import signal
import time
from functools import partial
from pathlib import Path

import pytest

from tests.faults.commands import Command
from tests.faults.conftest import Tally
from tests.faults.jobs import Night, copy_of
from tests.faults.kills import Moment, nobody_is_left, signalled_at

pytestmark = pytest.mark.slow

SECONDS = 5.0  # from the signal to the end of the process
# one in each stage, in the main thread and in others
MOMENTS = [
    Moment("check a file", 1),
    Moment("load a table (DuckDB)", 1, after=True),
    Moment("publish the read views", 1),
    Moment("statement of dbt", 150),
]


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory, plain_night: Path) -> Night:
    """DuckDB over a folder; one night behind it, another to come."""
    return copy_of(plain_night, tmp_path_factory.mktemp("signals"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=str)
def test_a_run_that_is_asked_to_end_does_so(
    night: Night, number: signal.Signals, at_length: bool, tally: Tally, tmp_path: Path
) -> None:
    night.job.put_back()
    moments = MOMENTS if at_length else MOMENTS[1::2]
    asked = silent = 0
    for moment in moments:
        note = tmp_path / "signalled"
        note.unlink(missing_ok=True)
        command = Command(
            night.job.settings, {}, "run", "-q", prepare=partial(signalled_at, moment, number, note)
        )
        done = command.done()
        ended = time.monotonic()
        assert "Traceback" not in done.stderr
        taken = ended - float(note.read_text())  # the same clock in all processes
        assert taken < SECONDS, f"{moment}: it ended {taken:.1f} s after the signal"
        nobody_is_left(command.process.pid)
        asked += 1
        silent += done.code != 128 + number
        # in the short version, the next run is asked to end as well, at a later moment
        if at_length or moment is moments[-1]:
            counts, seconds = night.is_done()
            tally(number.name, times=asked, silent=silent, **counts, seconds=seconds)
            asked = silent = 0
            night.job.put_back()
