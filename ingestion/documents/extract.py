"""The text of any document, page by page; a bad document is a reason, never an error.

The reading is done in a process apart, within limits of time, memory and output: a document comes
from strangers, and a PDF can be made so that its reader loops, or fills the memory.
"""

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

RULES = 1  # raise it when the reader gives another text for the same document
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
    """Read a local file, which is called ``name``; needs memory for its text only."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        command = [sys.executable, "-I", "-m", "ingestion.documents.reader"]
        try:
            done = subprocess.run(  # noqa: S603  no shell, and the program is our own
                [*command, str(path), name, str(answer)],
                # the reader needs no variable, and must see no secret
                env={"PYTHONIOENCODING": "utf-8"},
                cwd=folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Extracted(
                _media_type(path, name), (), f"it took longer than {seconds:g} s to read"
            )
        try:
            found = json.loads(answer.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            why = "it takes too much memory to read" if done.returncode else "it gives no text"
            return Extracted(_media_type(path, name), (), why)
    return Extracted(found["media_type"], tuple(found["pages"]), found["reason"])


def _media_type(path: Path, name: str) -> str:
    from ingestion.documents.reader import media_type

    return media_type(path, name)
