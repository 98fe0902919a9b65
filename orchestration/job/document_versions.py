"""The versions of a document, and what each of them changed in its text.

Everything is read from the lake: each version's bytes stay there, and so does the text that was
read out of it while it was current.
"""

import difflib
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime

from ingestion.errors import UsageError
from ingestion.lake.catalog import Catalog, FileVersion
from ingestion.lake.reading.arrow import stream
from ingestion.lake.reading.files import branches
from ingestion.schema_on_read import DUCKDB, rows_sql
from ingestion.settings import Settings
from ingestion.sources.documents.pages import pages_of
from orchestration.job.documents import document_datasets


@dataclass(frozen=True)
class TextChanges:
    """What changed in the text from an older version to a newer one."""

    since: str  # sha256 of the older version
    lines_new: int
    lines_gone: int
    pages: tuple[int, ...]  # of the newer version, those that it did not have before
    diff: tuple[str, ...]  # the lines of a unified diff


@dataclass(frozen=True)
class DocumentVersion:
    """One version of a document.

    ``pages`` and ``changes`` are None where no text was read out of it; ``reason`` says why, if it
    is known. ``changes`` compare it with the version before it that has a text.
    """

    dataset: str
    version: str  # sha256
    is_current: bool
    status: str
    published_at: datetime | None  # as its publisher says
    landed_at: datetime
    bytes: int
    source_url: str
    lake_path: str
    pages: int | None
    reason: str | None
    changes: TextChanges | None


@dataclass(frozen=True)
class _Text:
    pages: list[str]
    reason: str | None


def history_of(settings: Settings, name: str, dataset: str | None = None) -> list[DocumentVersion]:
    """Every version of a document, oldest first, with what it changed in the text.

    Raises ``UsageError`` if there is no such document, or if several datasets have one of this name
    and ``dataset`` does not choose.
    """
    catalog = Catalog(settings.lake_url)
    known = document_datasets()
    held = [
        v
        for v in catalog.versions()
        if v.item == name and v.dataset in known and dataset in (None, v.dataset)
    ]
    if not held:
        raise UsageError(f"There is no document {name}; medallion documents lists them.")
    if len(datasets := sorted({v.dataset for v in held})) > 1:
        raise UsageError(
            f"{name} is in the datasets {', '.join(datasets)}: choose one with --dataset."
        )
    texts = _texts(settings, catalog, held)
    current = {v.file_id for v in catalog.current() if v.key == held[0].key}
    found: list[DocumentVersion] = []
    before: FileVersion | None = None
    for version in held:
        text = texts.get(version.file_id)
        changes = None
        if text and text.pages and before:
            changes = _changes(before, version, texts)
        found.append(
            DocumentVersion(
                dataset=version.dataset,
                version=version.file_id,
                is_current=version.file_id in current,
                status=version.status,
                published_at=version.last_modified,
                landed_at=version.landed_at,
                bytes=version.bytes,
                source_url=version.source_url,
                lake_path=version.lake_path,
                pages=len(text.pages) if text else None,
                reason=text.reason if text else None,
                changes=changes,
            )
        )
        if text and text.pages:
            before = version
    return found


def _texts(settings: Settings, catalog: Catalog, versions: list[FileVersion]) -> dict[str, _Text]:
    """The text of each version that one was read out of, by the version's sha256."""
    made: dict[str, FileVersion] = {}
    for version in versions:
        of_it = [v for v in catalog.with_derived([version]) if v is not version]
        kept = [v for v in of_it if v.status in ("landed", "withdrawn")]
        if kept:  # a later one was read by a later release
            made[version.file_id] = max(kept, key=lambda v: v.landed_at)
    if not made:
        return {}
    pages = catalog.dataset(pages_of(versions[0].dataset))
    rows = rows_sql(pages, branches(settings.lake_url, made.values()), DUCKDB)
    select = f"select document_id, page, text, reason from ({rows}) order by document_id, page"
    found: dict[str, list[dict[str, str | None]]] = defaultdict(list)
    for row in stream(settings, settings.lake_url, select, pages.name).read_all().to_pylist():
        found[row["document_id"]].append(row)
    return {
        file_id: _Text([row["text"] for row in own if row["text"] is not None], own[0]["reason"])
        for file_id, own in found.items()
    }


def _changes(before: FileVersion, after: FileVersion, texts: dict[str, _Text]) -> TextChanges:
    old, new = (texts[v.file_id].pages for v in (before, after))
    diff = tuple(
        difflib.unified_diff(
            _lines(old), _lines(new), before.file_id[:8], after.file_id[:8], lineterm="", n=1
        )
    )
    body = diff[2:]  # without the two lines that name the versions
    there = {_plain(page) for page in old}
    return TextChanges(
        since=before.file_id,
        lines_new=sum(line.startswith("+") for line in body),
        lines_gone=sum(line.startswith("-") for line in body),
        pages=tuple(n for n, page in enumerate(new, 1) if _plain(page) not in there),
        diff=diff,
    )


def _lines(pages: list[str]) -> list[str]:
    return [line for page in pages for line in map(_plain, page.splitlines()) if line]


def _plain(text: str) -> str:
    """A text without differences of spaces, which no reader sees."""
    return " ".join(text.split())
