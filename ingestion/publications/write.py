"""Publish: write the files that are new, then swap the publication in.

Files come first, then the views and the manifest of the new publication, then the two files that
readers find it by. The manifest is replaced only if nobody else has replaced it meanwhile. Each
gets its name when it is whole. So a publication that is killed leaves the one before as it was, and
the next goes on with the files that are there.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from ingestion.errors import (
    CorruptedError,
    MedallionError,
    ReplacedError,
    UsageError,
    WarehouseError,
)
from ingestion.lake.storage.store import Store
from ingestion.progress import Progress, Quiet
from ingestion.publications import storage
from ingestion.publications.manifest import Origin, Part, Publication, Table, to_json
from ingestion.publications.retention import delete_old
from ingestion.publications.views import make_views
from ingestion.schema_on_read import STANDARD
from ingestion.scratch import clear_scratch, scratch_folder
from ingestion.settings import Settings
from ingestion.warehouse.base import Engine

SHORT = 16  # hex digits of a digest in a file's name; the manifest has all 64


@dataclass(frozen=True)
class Interval:
    """The rows of one service and month in a table; ``key`` changes when they are built anew."""

    service: str
    source_month: date
    key: str
    rows: int


@dataclass(frozen=True)
class Export:
    """A table of the warehouse to publish: by interval, or as one file if it has no intervals."""

    schema: str
    name: str
    columns: tuple[str, ...]
    intervals: tuple[Interval, ...] = ()
    is_news: bool = True  # else it is published only if another table is new


@dataclass(frozen=True)
class Published:
    """What one call did; ``written`` are the files and bytes that are new.

    ``stored_bytes`` are those of all files of all publications there.
    """

    publication: Publication
    is_new: bool
    files_written: int = 0
    bytes_written: int = 0
    stored_bytes: int = 0

    @property
    def summary(self) -> str:
        """One line for people."""
        if not self.is_new:
            mended = f"{self.files_written} files written again" if self.files_written else ""
            return f"{mended or 'nothing new to publish'}: readers see {self.publication.id}"
        return (
            f"published {self.publication.id}: {self.files_written} new files,"
            f" {self.bytes_written / 1e6:,.1f} MB"
        )


def publish(
    settings: Settings,
    engine: Engine,
    session: Any,
    exports: Sequence[Export],
    origin: Origin,
    state_now: Callable[[], str],
    progress: Progress,
) -> Published:
    """Publish these tables of an open session; writes nothing where nothing is new.

    A state that a rollback has hidden stays hidden. Raises ``UsageError`` where another warehouse
    publishes at this address. Raises ``MedallionError`` where a file cannot be written, or where
    ``state_now`` is no longer the state of ``origin`` when all are written: on some engines,
    somebody who runs dbt by hand can change a table meanwhile. Readers then keep what they see.
    """
    store = storage.open_publications(settings)
    clear_scratch(settings.dlt_dir)  # where nothing is loaded, nobody else does
    with storage.turn(settings, progress):
        seen = storage.seen_now(store)
        before = seen.publication
        check_owner(store, before, origin.warehouse)
        storage.forget_never_current(store, before)
        there, damaged = storage.listing(store), damaged_files(store)
        has_parts = before is not None and _has_parts(before, there, damaged)
        is_found = before is not None and _is_found(store, before)
        hidden = before is not None and origin.state == before.hidden_state
        if before and has_parts and is_found and (hidden or origin.state == before.origin.state):
            return Published(before, is_new=False, stored_bytes=sum(there.values()))
        with scratch_folder(settings.dlt_dir) as scratch:
            if before and hidden:  # the warehouse does not hold what readers are to see
                if has_parts:
                    swap_in(store, before, scratch, seen)
                return Published(before, is_new=False, stored_bytes=sum(there.values()))
            writer = _Writer(store, engine, session, scratch, there, damaged)
            writer.remember(before)
            progress.stage("publish", sum(len(e.intervals) or 1 for e in exports))
            tables = [writer.table(e, progress) for e in exports if e.is_news]
            is_new = (
                before is None
                or len(exports) != len(before.tables)
                or any(t != before.table(t.schema, t.name) for t in tables)
            )
            if before is None or is_new:
                tables += [writer.table(e, progress) for e in exports if not e.is_news]
                made = _next(before, origin, tuple(tables))
            elif origin.state != before.origin.state:
                # the same rows: the publication stands for this state too, as a promotion asks
                made = replace(before, origin=replace(before.origin, state=origin.state))
            else:
                made = before
            if made != before or not is_found:
                if state_now() != origin.state:
                    raise MedallionError(
                        "The warehouse was changed while it was published: somebody has run dbt."
                        " Readers keep the publication before. Publish again when dbt has ended."
                    )
                made = swap_in(store, made, scratch, seen)
        _mend(store, damaged, writer.written)
        delete_old(store, settings.keep_publications, datetime.now(UTC))
    written = writer.written
    stored = there | {path: part.bytes for path, part in written.items()}
    return Published(
        made,
        is_new,
        len(written),
        sum(part.bytes for part in written.values()),
        sum(stored.values()),
    )


def swap_in(store: Store, made: Publication, scratch: Path, seen: storage.Seen) -> Publication:
    """Add a publication whose files are there, and let readers see it; returns it as stored.

    It takes the place of what was ``seen``. Raises ``ReplacedError`` where another machine has
    published since; readers then see what that one did.
    """
    views = scratch / storage.VIEWS
    make_views(made, store.url, views)
    digest = _sha256(views)
    made = replace(made, url=store.url, views_sha256=digest)
    manifest = to_json(made)
    store.put(views, storage.views_of(made.id), digest)
    store.write(storage.manifest_of(made.id), manifest)
    try:
        store.replace(storage.MANIFEST, manifest, seen.tag)
    except ReplacedError as exc:
        if made.id not in {p.id for p in (seen.publication, storage.current(store)) if p}:
            storage.forget(store, made.id)  # readers never saw it
        raise ReplacedError(f"{exc}. Readers see what that one published. Try it again.") from exc
    store.put(views, storage.VIEWS, digest)
    if not store.is_local and not store.names(storage.manifest_of(made.id)):
        store.write(storage.manifest_of(made.id), manifest)  # another machine took it for killed
    return made


def check_owner(store: Store, before: Publication | None, warehouse: str) -> None:
    """Raise ``UsageError`` where another warehouse publishes here; one that has moved does not."""
    if before is None or before.origin.warehouse == warehouse:
        return
    path = Path(before.origin.warehouse.removeprefix("the warehouse "))
    if path.is_absolute() and not path.exists():
        return
    raise UsageError(
        f"{store.url} holds the publications of {before.origin.warehouse}. Set"
        " MEDALLION_PUBLISH_URL to a place of their own for those of this one."
    )


def _next(before: Publication | None, origin: Origin, tables: tuple[Table, ...]) -> Publication:
    """The publication after ``before``; later by its time too, even if a clock was set back."""
    now = datetime.now(UTC)
    if before:
        now = max(now, before.created_at + timedelta(seconds=1))
    return Publication(
        id=storage.new_id(now, origin.state),
        sequence=before.sequence + 1 if before else 1,
        created_at=now,
        origin=origin,
        tables=tables,
    )


class _Writer:
    """Writes the files of tables that are not published yet."""

    def __init__(
        self,
        store: Store,
        engine: Engine,
        session: Any,
        scratch: Path,
        there: dict[str, int],
        damaged: set[str],
    ):
        self._store, self._engine, self._session = store, engine, session
        self._scratch = scratch
        self._there = {path: size for path, size in there.items() if path not in damaged}
        self._known: dict[tuple[str, str], Part] = {}
        self.written: dict[str, Part] = {}

    def remember(self, before: Publication | None) -> None:
        """Files of this publication are not written again while they are there."""
        for path, part in before.parts.items() if before else ():
            if self._there.get(path) == part.bytes:
                self._known[path.rpartition("/")[0], part.key] = part

    def table(self, export: Export, progress: Progress) -> Table:
        parts = []
        for interval in export.intervals or (None,):
            part = self._part(export, interval)
            parts.append(part)
            month = f" {part.service} {part.source_month:%Y-%m}" if part.source_month else ""
            progress.file_done(f"{export.name}{month}", "", part.rows)
        return Table(export.schema, export.name, tuple(parts))

    def _part(self, export: Export, interval: Interval | None) -> Part:
        folder = f"{export.schema}/{export.name}"
        if interval is None:
            sql = self._sql(export, "true", export.columns)
            part = self._write(folder, sql, "", None)
            counted = self._session.query(f"select count(*) from ({sql}) as rows_now").rows
            if counted != [(part.rows,)]:
                raise MedallionError(
                    f"{export.schema}.{export.name} has {counted[0][0]:,} rows, and its file has"
                    f" {part.rows:,}. Nothing was published."
                )
            return part
        month = interval.source_month
        folder += f"/service={interval.service}/source_month={month}"
        if known := self._known.get((folder, interval.key)):
            return known
        rows = f"service = '{interval.service}' and source_month = date '{month}'"
        part = self._write(folder, self._sql(export, rows, ()), interval.key, interval)
        if part.rows != interval.rows:
            raise MedallionError(
                f"{export.schema}.{export.name} has {part.rows:,} rows of {interval.service}"
                f" {month:%Y-%m}, and {interval.rows:,} were built: somebody has changed it."
                " medallion transform --full-refresh builds it anew."
            )
        return part

    def _sql(self, export: Export, rows: str, order: Sequence[str]) -> str:
        quote = STANDARD.quote  # every engine takes standard SQL
        columns = ", ".join(map(quote, export.columns))
        # as text: PostgreSQL does not order every type
        keys = ", ".join(f"cast({quote(column)} as varchar)" for column in order)
        ordered = f" order by {keys}" if keys else ""
        return (
            f"select {columns} from {quote(export.schema)}.{quote(export.name)}"
            f" where {rows}{ordered}"
        )

    def _write(self, folder: str, sql: str, key: str, interval: Interval | None) -> Part:
        """Export the rows to a file, and put it in its place if it is not there."""
        import pyarrow.parquet as pq  # it is slow to import, and often nothing is new

        file = self._scratch / "part.parquet"
        try:
            self._engine.export(self._session, sql, file)
        except WarehouseError as exc:
            raise MedallionError(
                f"{folder.partition('/service=')[0].replace('/', '.')} cannot be published: {exc}."
                " Readers keep the publication before."
            ) from exc
        sha256 = _sha256(file)
        name = "-".join(filter(None, [key[:SHORT], sha256[:SHORT]]))
        part = Part(
            path=f"{folder}/{name}.parquet",
            rows=pq.read_metadata(file).num_rows,
            bytes=file.stat().st_size,
            sha256=sha256,
            key=key,
            service=interval.service if interval else None,
            source_month=interval.source_month if interval else None,
        )
        if self._there.get(part.path) != part.bytes:
            try:
                self._store.put(file, part.path, sha256)
            except CorruptedError as exc:
                raise MedallionError(f"{exc}. Nothing was published; run it again.") from exc
            self.written[part.path] = part
        file.unlink()
        return part


def _is_found(store: Store, current: Publication) -> bool:
    """Whether readers find it, by both pairs of files, at this address."""
    try:
        views = {store.sha256(name) for name in (storage.VIEWS, storage.views_of(current.id))}
        manifests = store.read_all([storage.MANIFEST, storage.manifest_of(current.id)])
    except (FileNotFoundError, MedallionError):
        return False
    return current.url == store.url and views == {current.views_sha256} and len(set(manifests)) == 1


def _has_parts(publication: Publication, there: dict[str, int], damaged: set[str]) -> bool:
    """Whether every one of its files is there."""
    return all(
        there.get(path) == part.bytes and path not in damaged
        for path, part in publication.parts.items()
    )


def damaged_files(store: Store) -> set[str]:
    """The paths of files that ``verify`` found damaged, until they are written again."""
    if not store.names(storage.DAMAGED):
        return set()
    (content,) = store.read_all([storage.DAMAGED])
    try:
        return {str(path) for path in json.loads(content)}
    except (ValueError, TypeError):
        return set()  # verify writes it anew


def _mend(store: Store, damaged: set[str], written: dict[str, Part]) -> None:
    """Forget the damage of files that were written again."""
    if damaged & written.keys():
        store.write(storage.DAMAGED, json.dumps(sorted(damaged - written.keys())).encode())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def restore(
    settings: Settings, publication: Publication, progress: Progress, warehouse: str = ""
) -> Publication:
    """Publish an earlier publication again, at once; nothing is written but its views.

    Raises ``UsageError`` where another ``warehouse`` publishes here. Raises ``MedallionError``
    where one of its files is gone or was found damaged.
    """
    store = storage.open_publications(settings)
    with storage.turn(settings, progress):
        seen = storage.seen_now(store)
        before = seen.publication
        if warehouse:
            check_owner(store, before, warehouse)
        storage.forget_never_current(store, before)
        if before is None or before.tables == publication.tables:
            raise UsageError(f"{publication.id} is what readers see already.")
        if not _has_parts(publication, storage.listing(store), damaged_files(store)):
            raise MedallionError(
                f"Files of {publication.id} are gone or damaged, so it cannot be published again:"
                " medallion verify names them."
            )
        hidden = before.hidden_state or before.origin.state
        made = _next(before, publication.origin, publication.tables)
        if publication.origin.state != hidden:  # else it is the rollback that is taken back
            made = replace(
                made,
                restores=publication.restores or publication.id,
                hides=before.hides or before.id,
                hidden_state=hidden,
            )
        with scratch_folder(settings.dlt_dir) as scratch:
            return swap_in(store, made, scratch, seen)


def take_over(
    settings: Settings, source: Settings, publication: Publication, origin: Origin
) -> Publication:
    """Publish what ``source`` published, at the address of ``settings``; nothing is built.

    Only files that are not there yet are copied. Killed half-way, readers keep what they see, and
    the next call goes on. Raises ``MedallionError`` where a file is gone or was found damaged.
    """
    store, other = storage.open_publications(settings), storage.open_publications(source)
    with storage.turn(settings, Quiet()):
        if not _has_parts(publication, storage.listing(other), damaged_files(other)):
            raise MedallionError(
                f"Files of {publication.id} at {other.url} are gone or damaged:"
                f" medallion verify --env {source.environment or 'NAME'} names them."
            )
        seen = storage.seen_now(store)
        before = seen.publication
        storage.forget_never_current(store, before)
        there, damaged = storage.listing(store), damaged_files(store)
        copied = {
            path: part
            for path, part in publication.parts.items()
            if there.get(path) != part.bytes or path in damaged
        }
        with scratch_folder(settings.dlt_dir) as scratch:
            for path in copied:
                store.copy_from(other, path, scratch)
            made = _next(before, origin, publication.tables)
            if before and (before.origin, before.tables) == (origin, publication.tables):
                made = before  # it was killed after the swap, or is asked for twice
            made = swap_in(store, made, scratch, seen)
        _mend(store, damaged, copied)
        delete_old(store, settings.keep_publications, datetime.now(UTC))
        return made
