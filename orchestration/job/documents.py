"""The documents in the lake: a list, the text of one, and a search over all pages.

Everything is read from the lake, so no warehouse is needed. The search has an index of its own in
the work folder: a DuckDB file. It is made again when a document or its text has a new version.
"""

import hashlib
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from ingestion.errors import MedallionError, UsageError, first_line
from ingestion.lake.catalog import Catalog, FileVersion
from ingestion.lake.reading.arrow import read
from ingestion.lake.reading.attach import load_extension
from ingestion.scratch import scratch_folder
from ingestion.settings import Settings
from ingestion.sources import registry
from ingestion.sources.documents.pages import pages_of

EXCERPT = 160  # characters
NOT_LANDED = "its text is not landed yet: run medallion land"


@dataclass(frozen=True)
class Document:
    """The current version of a document; ``reason`` says why it has no text, if so."""

    dataset: str
    name: str
    media_type: str | None  # None while its text is not landed
    bytes: int
    pages: int
    version: str  # sha256
    landed_at: datetime
    reason: str | None


@dataclass(frozen=True)
class Found:
    """One page that a search found; a higher score is better."""

    dataset: str
    document: str
    page: int
    score: float
    excerpt: str


def documents(settings: Settings) -> list[Document]:
    """The current version of every document, by dataset and name."""
    known: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in _pages(settings).drop_columns(["text"]).to_pylist():
        known.setdefault((row["dataset"], row["document"]), []).append(row)
    return [_document(v, known.get((v.dataset, v.item or ""), [])) for v in _held(settings)]


def text_of(
    settings: Settings, name: str, dataset: str | None = None, as_of: date | None = None
) -> list[str]:
    """The text of a document, page by page; raises ``UsageError`` if there is no text.

    With ``as_of``, it is the text that the lake had at the end of that day.
    """
    version = version_of(settings, name, dataset, as_of)
    pages = _pages(settings, as_of)
    pages = pages.filter(pc.equal(pages["document_id"], version.file_id))
    rows = [
        row
        for row in pages.to_pylist()
        if (row["dataset"], row["document"]) == (version.dataset, name)
    ]
    if not rows:
        reason = f"its text was not landed by {as_of}" if as_of else NOT_LANDED
        raise UsageError(f"{name} has no text: {reason}.")
    if rows[0]["reason"]:
        raise UsageError(f"{name} has no text: {rows[0]['reason']}.")
    return [row["text"] for row in sorted(rows, key=lambda row: row["page"])]


def version_of(
    settings: Settings, name: str, dataset: str | None = None, as_of: date | None = None
) -> FileVersion:
    """The current version of a document; ``dataset`` chooses between documents of the same name.

    With ``as_of``, it is the version that was current at the end of that day. Raises ``UsageError``
    if there is no such document, or more than one.
    """
    held = [v for v in _held(settings, as_of) if dataset in (None, v.dataset)]
    found = [v for v in held if v.item == name]
    if len(found) > 1:
        datasets = ", ".join(sorted(v.dataset for v in found))
        raise UsageError(f"{name} is in the datasets {datasets}: choose one with --dataset.")
    if not found:
        names = sorted(v.item or "" for v in held)
        by = f" by {as_of}" if as_of else ""
        listed = f"there are {', '.join(names)}" if names else "the lake holds no documents"
        raise UsageError(f"There is no document {name}{by}; {listed}.")
    return found[0]


def search(settings: Settings, words: str, limit: int = 10) -> list[Found]:
    """The pages that match the words, best first, by BM25 over stems of English words."""
    with duckdb.connect(_index(settings), read_only=True) as connection:
        _load_search(connection)
        rows = connection.execute(
            "select dataset, document, page, score, text from (select *,"
            " fts_main_pages.match_bm25(id, ?) as score from pages)"
            " where score is not null order by score desc, dataset, document, page limit ?",
            [words, limit],
        ).fetchall()
    return [
        Found(dataset, document, page, score, _excerpt(text, words))
        for dataset, document, page, score, text in rows
    ]


def document_datasets() -> list[str]:
    """The datasets of documents that have pages."""
    found = registry.datasets()
    return [d.name for d in found.values() if not d.has_rows and pages_of(d.name) in found]


def _held(settings: Settings, as_of: date | None = None) -> list[FileVersion]:
    datasets = document_datasets()
    return [v for v in Catalog(settings.lake_url).current(as_of) if v.dataset in datasets]


def _document(version: FileVersion, rows: list[dict[str, Any]]) -> Document:
    own = [row for row in rows if row["document_id"] == version.file_id]
    return Document(
        version.dataset,
        version.item or "",
        own[0]["media_type"] if own else None,
        version.bytes,
        sum(row["page"] > 0 for row in own),
        version.file_id,
        version.landed_at,
        own[0]["reason"] if own else NOT_LANDED,
    )


def _pages(settings: Settings, as_of: date | None = None) -> pa.Table:
    """Every page of every document, with the dataset of its document."""
    found = []
    for dataset in document_datasets():
        table = read(pages_of(dataset), as_of=as_of, settings=settings).read_all()
        name = pa.array([dataset] * table.num_rows, pa.string())
        found.append(table.append_column("dataset", name))
    return pa.concat_tables(found)


def _index(settings: Settings) -> Path:
    """The file of the search index over the current pages; creates it if it does not exist."""
    pages = list(map(pages_of, document_datasets()))
    current = [v for v in Catalog(settings.lake_url).current() if v.dataset in pages]
    versions = "\n".join(sorted(f"{v.dataset} {v.item} {v.file_id}" for v in current))
    folder = settings.work_dir / "search"
    name = hashlib.sha256(f"{settings.lake_url}\n{versions}".encode()).hexdigest()[:24]
    path = folder / f"{name}.duckdb"
    if path.exists():
        return path
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # each process makes its own file, and moves it into place when it is complete
        with scratch_folder(settings.dlt_dir) as scratch:
            begun = scratch / path.name
            with duckdb.connect(begun) as connection:
                _load_search(connection)
                pages = _pages(settings)
                pages = pages.filter(pc.is_valid(pages["text"]))
                connection.execute(
                    "create table pages as select row_number() over () as id, dataset, document,"
                    " page, text from pages order by dataset, document, page"
                )
                connection.execute("pragma create_fts_index('pages', 'id', 'document', 'text')")
            begun.replace(path)
        for old in folder.iterdir():
            if old != path:
                old.unlink(missing_ok=True)
    except OSError as exc:
        raise MedallionError(f"Cannot write to {folder}: {exc.strerror}.") from exc
    except duckdb.Error as exc:
        raise MedallionError(f"The documents cannot be indexed: {first_line(exc)}") from exc
    return path


def _load_search(connection: duckdb.DuckDBPyConnection) -> None:
    load_extension(connection, "fts")


def _excerpt(text: str, words: str) -> str:
    """The part of a page around the first of the words, on one line."""
    plain = " ".join(text.split())
    places = [plain.lower().find(word.lower()[:5]) for word in words.split()]
    first = min((place for place in places if place >= 0), default=0)
    begin = max(0, first - EXCERPT // 3)
    cut = plain[begin : begin + EXCERPT]
    return ("…" if begin else "") + cut + ("…" if begin + EXCERPT < len(plain) else "")
