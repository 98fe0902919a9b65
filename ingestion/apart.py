"""Reads a file of unknown content in a separate process, within limits of time, memory and output.

A file can be made so that its reader loops, fills the memory, or breaks a library in C. The process
apart is ``python -m MODULE FILE NAME ANSWER``: it writes what it found into ANSWER, as JSON.
"""

import json
import resource
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from ingestion.errors import FetchError

MEMORY_BYTES = 1 << 30
CPU_SECONDS = 120  # ends a reader whose parent was killed before it could stop it
MOST_ANSWER_BYTES = 400_000_000


class UnreadableError(Exception):
    """The separate process was ended, for the reason that the message gives."""


class TookTooLongError(UnreadableError):
    """It was ended after its time, which may be enough on a machine that is less busy."""


def read_apart(module: str, path: Path, name: str, seconds: float) -> Any:
    """What the module found in a local file, which is called ``name``.

    Raises ``UnreadableError`` where the file is the reason that there is no answer, and
    ``FetchError`` where the separate process fails for a reason outside the file.
    """
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        command = [sys.executable, "-I", "-m", module]
        try:
            done = subprocess.run(  # noqa: S603  no shell, and the program is our own
                [*command, str(path), name, str(answer)],
                env={},  # the reader needs no variable, and must see no secret
                cwd=folder,
                stdin=subprocess.DEVNULL,
                # a file may make its reader warn without end
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise TookTooLongError(f"it took longer than {seconds:g} s to read") from None
        if done.returncode < 0:
            number = -done.returncode
            told = signal.strsignal(number) or f"signal {number}"
            raise UnreadableError(f"its reader was ended: {told}")
        if done.returncode:
            raise FetchError(
                f"{name}: the process that reads it ended with code {done.returncode}. Make"
                f" room in {tempfile.gettempdir()}, or install the project anew: uv sync."
            )
        return json.loads(answer.read_text(encoding="utf-8"))


def limit_this_process() -> None:
    """Set the limits of the separate process: its first step, before it opens the file."""
    for limit, value in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, MOST_ANSWER_BYTES),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, CPU_SECONDS),
    ):
        resource.setrlimit(limit, (value, value))
