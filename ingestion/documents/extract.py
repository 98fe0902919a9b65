"""The text of any document, page by page; a bad document is a reason, never an error."""

from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

from ingestion.apart import TookTooLongError, UnreadableError, read_apart

RULES = 2  # raise it when the reader gives another text for the same document
SECONDS = 60


@dataclass(frozen=True)
class Extracted:
    """The text of a document's pages; ``reason`` says why there is none."""

    media_type: str
    pages: tuple[str, ...]
    reason: str | None = None
    may_pass: bool = False  # whether another try may find a text


@cache
def extractor() -> str:
    """What reads the text: another name means that it may give another text."""
    return f"pypdf {version('pypdf')} / {RULES}"


def extract(path: Path, name: str, seconds: float | None = None) -> Extracted:
    """Read a local file, which is called ``name``; needs memory for its text only.

    Raises ``FetchError`` where the separate process fails for a reason outside the document.
    """
    try:
        found = read_apart("ingestion.documents.reader", path, name, seconds or SECONDS)
    except UnreadableError as exc:
        from ingestion.documents.reader import media_type

        return Extracted(media_type(path, name), (), str(exc), isinstance(exc, TookTooLongError))
    return Extracted(found["media_type"], tuple(found["pages"]), found["reason"])
