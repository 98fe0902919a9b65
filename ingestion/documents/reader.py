"""The separate process that reads a document: ``python -m … FILE NAME ANSWER``.

It limits itself before it opens the file, and writes what it found into ``ANSWER`` as JSON.
"""

import json
import mimetypes
import re
import sys
import zipfile
from pathlib import Path

from ingestion.apart import limit_this_process

MOST_BYTES = 256 << 20
PAGE_CHARACTERS = 3_000
MOST_CHARACTERS = 50_000_000
MOST_PAGE_CHARACTERS = 30_000  # a longer text in a row would not be trusted
MOST_MEMBERS = 10_000
_TEXT = ("text/", "application/json", "application/geo+json", "application/xml")


def media_type(path: Path, name: str) -> str:
    """The media type, by the first bytes, or else by the ending of the name."""
    with path.open("rb") as file:
        head = file.read(1024)
    if b"%PDF-" in head:
        return "application/pdf"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "application/zip"
    if name.lower().endswith(".geojson"):
        return "application/geo+json"
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


def read(path: Path, kind: str) -> tuple[list[str], str | None]:
    """The text of each page of a file of this media type, and why there is none."""
    if kind == "application/zip":
        return _zip(path)
    if kind == "application/pdf" or kind.startswith(_TEXT):
        if path.stat().st_size > MOST_BYTES:
            return [], f"it is larger than {MOST_BYTES >> 20} MB"
        return _pdf(path) if kind == "application/pdf" else _text(path)
    return [], f"its type, {kind}, has no text to read"


def _pdf(path: Path) -> tuple[list[str], str | None]:
    from pypdf import PdfReader
    from pypdf.errors import LimitReachedError

    pages: list[str] = []
    characters = 0
    try:
        pdf = PdfReader(path)
        if pdf.is_encrypted and not pdf.decrypt(""):
            return [], "it is encrypted"
        for page in pdf.pages:
            pages.append(_plain(page.extract_text()))
            characters += len(pages[-1])
            if len(pages[-1]) > MOST_PAGE_CHARACTERS:
                return [], f"page {len(pages)} has {len(pages[-1]):,} characters"
            if characters > MOST_CHARACTERS:
                return [], f"it has more than {MOST_CHARACTERS:,} characters of text"
    except MemoryError:
        raise
    except LimitReachedError as exc:
        return [], f"it is beyond a limit of pypdf: {_one_line(exc)}"
    except RecursionError:
        return [], "it is damaged: its parts contain each other"
    except Exception as exc:  # a damaged file makes pypdf raise nearly anything
        return [], f"it is damaged: {_one_line(exc)}"
    if not any(text.strip() for text in pages):
        return [], "it has no text layer" if pages else "it has no page"
    return pages, None


def _text(path: Path) -> tuple[list[str], str | None]:
    text = _plain(path.read_bytes().decode("utf-8-sig", "replace"))
    if len(text) > MOST_CHARACTERS:
        return [], f"it has more than {MOST_CHARACTERS:,} characters of text"
    return _paged(text), None if text.strip() else "it has no text"


def _paged(text: str) -> list[str]:
    pages, begun = [], 0
    while begun < len(text):
        end = begun + PAGE_CHARACTERS
        if end < len(text):  # at the end of a line, if one is near
            end = text.rfind("\n", begun, end) + 1 or end
        pages.append(text[begun:end])
        begun = end
    return pages


def _zip(path: Path) -> tuple[list[str], str | None]:
    """The names of its members; nothing is unpacked."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError) as exc:
        return [], f"it is damaged: {_one_line(exc)}"
    more = [f"and {len(names) - MOST_MEMBERS:,} more"] if len(names) > MOST_MEMBERS else []
    listed = _paged(_plain("\n".join([*names[:MOST_MEMBERS], *more])))
    return listed, None if names else "it is empty"


def _one_line(exc: Exception) -> str:
    return _plain(" ".join(str(exc).split())[:200]) or type(exc).__name__


def _plain(text: str) -> str:
    """The text without what PostgreSQL cannot store: NUL, and halves of a pair."""
    return re.sub("[\x00\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", text)


def main(path: str, name: str, answer: str) -> None:
    """Read the document and write the answer."""
    limit_this_process()
    kind = media_type(Path(path), name)
    try:
        pages, reason = read(Path(path), kind)
        found = _answer(kind, [] if reason else pages, reason)
    except MemoryError:
        found = _answer(kind, [], "it takes too much memory to read")
    Path(answer).write_bytes(found)


def _answer(kind: str, pages: list[str], reason: str | None) -> bytes:
    found = {"media_type": kind, "pages": pages, "reason": reason}
    return json.dumps(found, ensure_ascii=False).encode()


if __name__ == "__main__":
    main(*sys.argv[1:])
