"""A process whose threads get no memory ends, where whoever waits for them would wait for ever."""

import subprocess
import sys

import pytest

ENDED = """
import threading
from ingestion.out_of_memory import exit_when_a_thread_has_no_memory
exit_when_a_thread_has_no_memory()
def work():
    raise {error}("none left")
threading.Thread(target=work).start()
threading.Event().wait()
"""
# the bootstrap of a thread fails before whoever started it is told that it runs
NEVER_BEGUN = """
import threading
from ingestion.out_of_memory import exit_when_a_thread_has_no_memory
exit_when_a_thread_has_no_memory()
class Thread(threading.Thread):
    def _bootstrap(self):
        raise {error}("none left")
Thread().start()
"""
BETWEEN = """
import threading
from ingestion.out_of_memory import exit_when_a_thread_has_no_memory
exit_when_a_thread_has_no_memory()
def work():
    raise {error}("of its own")
thread = threading.Thread(target=work)
thread.start()
thread.join()
print("goes on")
"""

IN_THE_BLOCK = """
from ingestion.out_of_memory import exit_when_out_of_memory
with exit_when_out_of_memory():
    raise {error}
"""


def run(script: str, error: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", script.format(error=error)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30)


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (ENDED, "MemoryError"),
        (ENDED, "SystemError"),
        (NEVER_BEGUN, "MemoryError"),
        (NEVER_BEGUN, "KeyError"),  # what Python raises where it cannot even clean up
    ],
)
def test_a_thread_without_memory_ends_the_process(script: str, error: str) -> None:
    done = run(script, error)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: no memory is left for this process")


def test_another_error_of_a_thread_is_told_and_the_process_goes_on() -> None:
    done = run(BETWEEN, "ValueError")
    assert (done.returncode, done.stdout) == (0, "goes on\n")
    assert "ValueError: of its own" in done.stderr


@pytest.mark.parametrize("error", ["MemoryError", 'RuntimeError("can\'t start new thread")'])
def test_a_command_without_memory_is_one_line(error: str) -> None:
    done = run(IN_THE_BLOCK, error)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: no memory is left for this process")


def test_another_error_of_a_command_keeps_its_traceback() -> None:
    done = run(IN_THE_BLOCK, 'RuntimeError("of its own")')
    assert done.returncode == 1
    assert done.stderr.endswith("RuntimeError: of its own\n")
