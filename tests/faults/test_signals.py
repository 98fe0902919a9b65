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

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory, plain_night: Path) -> Night:
    """DuckDB over a folder; one night behind it, another to come."""
    return copy_of(plain_night, tmp_path_factory.mktemp("signals"))


def test_a_run_that_is_asked_to_end_does_so(
    night: Night, at_length: bool, tally: Tally, tmp_path: Path
) -> None:
    asked = [(number, moment) for number in SIGNALS for moment in MOMENTS]
    if not at_length:  # each in its turn, and the next run is asked as well, at a later moment
        asked = [(SIGNALS[nth % 2], moment) for nth, moment in enumerate(MOMENTS)]
    night.job.put_back()
    silent: dict[signal.Signals, list[bool]] = {}
    for number, moment in asked:
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
        silent.setdefault(number, []).append(done.code != 128 + number)
        if at_length or moment is MOMENTS[-1]:
            counts, seconds = night.is_done()
            for sent, were in silent.items():
                tally(sent.name, times=len(were), silent=sum(were), **counts, seconds=seconds)
            silent.clear()
            night.job.put_back()
