"""The text of any document, page by page; a bad document is a reason, never an error.

The reading is done in a process apart, within limits of time, memory and output: a document comes
from strangers, and a PDF can be made so that its reader loops, or fills the memory.
"""

import json
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

from ingestion.errors import FetchError

RULES = 2  # raise it when the reader gives another text for the same document
SECONDS = 60


@dataclass(frozen=True)
class Extracted:
    """The text of a document's pages; ``reason`` says why there is none."""

    media_type: str
    pages: tuple[str, ...]
    reason: str | None = None


@cache
def extractor() -> str:
    """What reads the text: another name means that it may give another text."""
    return f"pypdf {version('pypdf')} / {RULES}"


def extract(path: Path, name: str, seconds: float = SECONDS) -> Extracted:
    """Read a local file, which is called ``name``; needs memory for its text only.

    Raises ``FetchError`` where the process apart fails for a reason outside the document.
    """
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        command = [sys.executable, "-I", "-m", "ingestion.documents.reader"]
        try:
            done = subprocess.run(  # noqa: S603  no shell, and the program is our own
                [*command, str(path), name, str(answer)],
                env={},  # the reader needs no variable, and must see no secret
                cwd=folder,
                stdin=subprocess.DEVNULL,
                # a document may make pypdf warn without end
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Extracted(
                _media_type(path, name), (), f"it took longer than {seconds:g} s to read"
            )
        if done.returncode < 0:
            number = -done.returncode
            reason = f"its reader was ended: {signal.strsignal(number) or f'signal {number}'}"
            return Extracted(_media_type(path, name), (), reason)
        if done.returncode:
            raise FetchError(
                f"{name}: the process that reads documents ended with code {done.returncode}. Make"
                f" room in {tempfile.gettempdir()}, or install the project anew: uv sync."
            )
        found = json.loads(answer.read_text(encoding="utf-8"))
    return Extracted(found["media_type"], tuple(found["pages"]), found["reason"])


def _media_type(path: Path, name: str) -> str:
    from ingestion.documents.reader import media_type

    return media_type(path, name)
