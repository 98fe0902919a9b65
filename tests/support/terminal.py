"""Run a command in a terminal of 80 columns and 24 lines, as people do."""

import fcntl
import math
import os
import pty
import re
import signal
import struct
import subprocess
import termios
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ingestion.settings import PROJECT_ROOT
from tests.support.processes import PATIENCE_SECONDS

LINES, COLUMNS = 24, 80
_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True)
class Shown:
    """What a terminal got from a command, without colours, and its exit code."""

    code: int
    text: str
    piped: str = ""  # what went to stdout, where only stderr is the terminal

    @property
    def height(self) -> int:
        """How many lines of the screen it takes."""
        lines = self.text.rstrip("\n").split("\n")
        return sum(max(1, math.ceil(len(line) / COLUMNS)) for line in lines)


def in_terminal(
    command: Sequence[str],
    env: Mapping[str, str],
    errors_only: bool = False,
    until: str | None = None,
    cwd: Path = PROJECT_ROOT,
) -> Shown:
    """Run a command whose stdout, or with ``errors_only`` whose stderr, is a terminal.

    The other of the two is a pipe. ``until`` interrupts it, as Ctrl-C does, once the terminal shows
    that text.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env={**env, "TERM": "xterm"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if errors_only else theirs,
        stderr=theirs if errors_only else subprocess.PIPE,
    )
    os.close(theirs)
    seen = b""
    with suppress(OSError):  # the other side has closed it
        while part := os.read(ours, 1 << 16):
            seen += part
            if until and until.encode() in seen:
                process.send_signal(signal.SIGINT)
                until = None
    os.close(ours)
    out, errors = process.communicate(timeout=PATIENCE_SECONDS)
    assert until is None, f"{until} was not shown in {seen!r}"
    piped = (out if errors_only else errors).decode()
    text = _SEQUENCE.sub("", seen.decode()).replace("\r\n", "\n")
    return Shown(process.returncode, text, piped)
