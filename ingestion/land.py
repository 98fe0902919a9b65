"""Land what is published into the lake.

A file is fetched whole, hashed and checked, and dlt copies it into the lake unchanged. Only then is
the landing written to the catalog. An unchanged file costs one HEAD. A file that cannot be trusted
is kept in ``quarantine/`` with the reason, and the other files go on.
"""

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from enum import StrEnum
from importlib import import_module

from ingestion.errors import FetchError, MedallionError, UntrustedFileError
from ingestion.formats.drift import Checked
from ingestion.formats.validate import check
from ingestion.lake.catalog import Catalog, FileVersion, clock_warning
from ingestion.lake.derived import derived_files, make_derived
from ingestion.lake.file_version import PASSED_OVER
from ingestion.lake.storage.checksums import Digests
from ingestion.lake.storage.store import Store, open_lake
from ingestion.locks import turns_with_files
from ingestion.progress import Progress, Quiet
from ingestion.published import published_by_source
from ingestion.settings import Settings
from ingestion.sources import registry
from ingestion.sources.base import DOCUMENT, Fetched, PublishedFile
from ingestion.sources.kinds import kind_of
from ingestion.sources.spool import forget_parts, has_parts

FETCHES_AT_ONCE = 4
# The most files and bytes in one load of dlt, whichever is reached first. Files share the load's
# fixed cost, and no more than one batch waits in the spool.
BATCH_FILES = 16
BATCH_BYTES = 2 << 30


class Outcome(StrEnum):
    """The outcome for one published file."""

    UNCHANGED = "unchanged"
    NEW = "new"
    REPUBLISHED = "re-published"
    SAME_CONTENT = "same content"
    QUARANTINED = "quarantined"
    FAILED = "failed"
    PASSED_OVER = "passed over"  # an operator has withdrawn this version, or had it forgotten
    NOT_YET = "not published yet"


@dataclass(frozen=True)
class Landed:
    """The result for one published file; ``landing`` is there unless it failed.

    ``error`` is also why a version is passed over, which is no error of the run. ``remarks`` are
    warnings about a new or changed file, one line each. ``seconds`` is what fetching, checking and
    storing it took; None if nothing was fetched.
    """

    published: PublishedFile
    outcome: Outcome
    landing: FileVersion | None = None
    error: str | None = None
    remarks: tuple[str, ...] = ()
    seconds: float | None = field(default=None, compare=False)


@dataclass(frozen=True)
class LandReport:
    """The result for every published file in scope.

    ``not_asked`` has one error for each source that could not be asked what it publishes.
    """

    files: list[Landed] = field(default_factory=list)
    not_asked: list[str] = field(default_factory=list)

    def of(self, *outcomes: Outcome) -> list[Landed]:
        """The files with one of these outcomes."""
        return [f for f in self.files if f.outcome in outcomes]


def land(
    settings: Settings,
    datasets: Iterable[str] = (),
    start: date | None = None,
    end: date | None = None,
    progress: Progress | None = None,
) -> LandReport:
    """Find the published files of the datasets and months, and land those the lake does not hold.

    Returns one entry for each published file, and one for each expected file that is not published.
    While one source cannot be asked, the others' files are landed. Raises ``FetchError`` when no
    publisher can be reached, ``MedallionError`` when it has nothing, or the lake or the disk
    refuses.
    """
    named = list(datasets)
    published, errors = published_by_source(settings, named, start, end, progress)
    files = land_files(settings, published, progress).files
    if named and start and start == end:
        # in a longer span it may be yet to come; a month that is named alone is expected
        files = [_expected(file) for file in files]
    if any(file.file_format == DOCUMENT for file in published):
        derived = land_derived(settings, progress)
        files += derived.of(Outcome.FAILED, Outcome.QUARANTINED)
    return LandReport(files, [str(error) for error in errors])


def _expected(file: Landed) -> Landed:
    if file.outcome is not Outcome.NOT_YET:
        return file
    return replace(file, outcome=Outcome.FAILED, error="it is not published yet.")


def land_derived(settings: Settings, progress: Progress | None = None) -> LandReport:
    """Land the rows that are read out of landed documents, where they are not landed yet.

    They are made again when a document has another version, or when what reads it has.
    """
    store = open_lake(settings)
    documents = derived_files(Catalog(store))

    def make(file: PublishedFile) -> Fetched:
        return make_derived(store, documents[file], file, settings.spool_dir)

    return land_files(settings, list(documents), progress, make)


Fetch = Callable[[PublishedFile], Fetched | None]


def land_files(
    settings: Settings,
    published: Sequence[PublishedFile],
    progress: Progress | None = None,
    fetch: Fetch | None = None,
) -> LandReport:
    """Land those published files that the lake does not hold.

    ``fetch`` fetches a file in place of its source.
    """
    progress = progress or Quiet()
    store = open_lake(settings)
    catalog = Catalog(store)
    done: dict[PublishedFile, Landed] = {}
    todo = []
    for file in published:
        if file.error:
            done[file] = Landed(file, Outcome.FAILED, error=file.error)
        elif is_landed(catalog, file):
            done[file] = _held(catalog, file)
        else:  # a file in quarantine is fetched again: the error may have passed
            todo.append(file)
    left = [file for file in done if has_parts(file, settings.spool_dir)]
    if left:  # by a run that was killed after it had landed them
        with turns_with_files(settings, [file.name for file in left], progress):
            for file in left:
                forget_parts(file, settings.spool_dir)
    if not todo:
        return LandReport([done[file] for file in published])
    now = datetime.now(UTC)
    if ahead := catalog.ahead_of(now):
        progress.say(f"warning: {clock_warning(ahead, now)}")
    progress.stage("land", len(todo), sum(f.bytes or 0 for f in todo))
    for batch in _batches(todo):
        with turns_with_files(settings, [file.name for file in batch], progress):
            for file in batch:
                catalog.clear_unfinished(file.key, before=now)
            landed_files = _land_batch(settings, store, batch, progress, fetch)
        for landed in landed_files:
            done[landed.published] = landed
            rows = landed.landing.row_count if landed.landing else None
            note = f"{landed.outcome}: {landed.error}" if landed.error else landed.outcome
            progress.file_done(landed.published.name, note, rows)
            for remark in landed.remarks:
                progress.say(f"{landed.published.name}: {remark}")
    return LandReport([done[file] for file in published])


def _batches(files: Sequence[PublishedFile]) -> Iterator[list[PublishedFile]]:
    batch: list[PublishedFile] = []
    size = 0
    for file in files:
        if batch and (len(batch) == BATCH_FILES or size + (file.bytes or 0) > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(file)
        size += file.bytes or 0
    if batch:
        yield batch


def is_landed(catalog: Catalog, file: PublishedFile) -> bool:
    """Whether the lake holds the file as published now, and need not check it again.

    A version that is passed over is not fetched again.
    """
    last = catalog.newest(*file.key)
    landed = last is not None and last.status != "quarantined"
    return landed and not file.error and catalog.holds(file)


def _held(catalog: Catalog, file: PublishedFile) -> Landed:
    last = catalog.newest(*file.key)
    if last and last.status in PASSED_OVER:
        return Landed(file, Outcome.PASSED_OVER, last, last.error)
    return Landed(file, Outcome.UNCHANGED, last)


def _from_source(settings: Settings, file: PublishedFile, progress: Progress) -> Fetched | None:
    publisher = settings.publisher(registry.source_of(file.dataset))
    return kind_of(publisher).fetch(publisher, file, settings.spool_dir, progress.advance)


@dataclass(frozen=True)
class _Candidate:
    """A download, and the result of its check."""

    fetched: Fetched
    checked: Checked | None
    distrust: str | None
    found: Future[Digests] | None  # computed while dlt prepares the load
    seconds: float  # of the download and the check


def _land_batch(
    settings: Settings,
    store: Store,
    batch: Sequence[PublishedFile],
    progress: Progress,
    fetch: Fetch | None,
) -> list[Landed]:
    catalog = Catalog(store)
    datasets = {file.dataset: catalog.dataset(file.dataset) for file in batch}

    def prepare(file: PublishedFile) -> _Candidate | FetchError | None:
        begun = time.monotonic()
        try:
            fetched = fetch(file) if fetch else _from_source(settings, file, progress)
        except FetchError as exc:
            return exc
        except OSError as exc:
            raise MedallionError(f"Cannot write to {settings.spool_dir}: {exc.strerror}.") from exc
        if fetched is None:
            return None
        held = catalog.newest(*file.key)
        if held and held.status == "landed" and held.file_id == fetched.sha256:
            # the same bytes were checked when they were landed
            checked = Checked(held.row_count, held.columns, held.remarks)
            return _Candidate(fetched, checked, None, None, time.monotonic() - begun)
        found = store.digests_of(fetched.path, pool)
        try:
            dataset = datasets[file.dataset]
            checked = check(fetched.path, dataset, file.month, file.file_format)
        except UntrustedFileError as exc:
            return _Candidate(fetched, None, str(exc), found, time.monotonic() - begun)
        return _Candidate(fetched, checked, None, found, time.monotonic() - begun)

    # another process may have landed some of them while this one waited for the lock
    landed = [_held(catalog, file) for file in batch if is_landed(catalog, file)]
    rest = [file for file in batch if not is_landed(catalog, file)]
    if rest:
        # Two threads that each begin with another module of dlt would block each other.
        import_module("dlt.sources.helpers.requests")
    with ThreadPoolExecutor(FETCHES_AT_ONCE, thread_name_prefix="fetch") as pool:
        prepared = dict(zip(rest, pool.map(prepare, rest), strict=True))
        candidates = {f: c for f, c in prepared.items() if isinstance(c, _Candidate)}
        stored = _store(settings, store, catalog, candidates)
    for file, candidate in prepared.items():
        if isinstance(candidate, FetchError):
            error = str(candidate).removeprefix(f"{file.name}: ")
            landed.append(Landed(file, Outcome.FAILED, error=error))
            continue
        if candidate is None:
            landed.append(_nothing_of(catalog, file))
            continue
        recorded = _record(catalog, file, candidate, settings.row_loss_pct)
        landed.append(replace(recorded, seconds=candidate.seconds + stored.get(file, 0)))
        forget_parts(file, settings.spool_dir)
    return landed


def _nothing_of(catalog: Catalog, file: PublishedFile) -> Landed:
    """The result where the source has nothing of a month; an error if it had something before."""
    last = catalog.newest(*file.key)
    if last is None:
        return Landed(file, Outcome.NOT_YET)
    return Landed(
        file,
        Outcome.FAILED,
        last,
        f"the source has nothing of it now, and had {last.row_count or 0:,} rows when it was landed"
        f" on {last.landed_at:%Y-%m-%d}. The version that was landed stays in use.",
    )


def _name(catalog: Catalog, file: PublishedFile, candidate: _Candidate) -> str:
    return catalog.name_for(file.key, candidate.fetched.sha256)


def _lake_path(catalog: Catalog, file: PublishedFile, candidate: _Candidate) -> str:
    folder = "quarantine" if candidate.distrust else f"raw/{file.dataset}"
    return f"{folder}/{_name(catalog, file, candidate)}.{_ending(file)}"


def _ending(file: PublishedFile) -> str:
    if file.file_format != DOCUMENT:
        return file.file_format
    found = re.search(r"\.([a-z0-9]{1,8})$", (file.item or file.url).lower(), re.ASCII)
    return found[1] if found else "bin"


def _store(
    settings: Settings,
    store: Store,
    catalog: Catalog,
    candidates: dict[PublishedFile, _Candidate],
) -> dict[PublishedFile, float]:
    """Put new files into the lake; return, once their bytes are proved to be there, the seconds."""
    new = {
        file: candidate
        for file, candidate in candidates.items()
        if not _is_stored(catalog, file, candidate)
    }
    if not new:
        return {}
    # The slow imports wait until there is something to land.
    from ingestion.dlt_runner import Reference, run_references
    from ingestion.lake.destination import lake_destination

    took: dict[PublishedFile, float] = {}
    for file, candidate in new.items():
        if candidate.distrust:
            begun = time.monotonic()
            # dlt would open the file to load it, and an untrusted file must not be opened
            fetched = candidate.fetched
            name = _lake_path(catalog, file, candidate)
            store.put(fetched.path, name, fetched.sha256, candidate.found)
            took[file] = time.monotonic() - begun
    references = [
        Reference(
            schema=file.dataset,
            table_name=_name(catalog, file, candidate),
            url=str(candidate.fetched.path),
            columns=_any_columns(candidate.checked),
            hint={
                "file_id": candidate.fetched.sha256,
                "lake_path": _lake_path(catalog, file, candidate),
            },
        )
        for file, candidate in new.items()
        if candidate.checked
    ]
    if references:
        place = f"the lake {settings.lake_url}"
        errors: list[MedallionError] = []
        found = {c.fetched.sha256: c.found for c in new.values() if c.found}
        done = run_references(
            "lake",
            lake_destination(store, found, errors),
            references,
            settings.dlt_dir,
            place,
            workers=FETCHES_AT_ONCE,
        )
        for error in errors:
            raise error
        for failure in done.failed.values():
            raise MedallionError(failure.reason)
        for file, candidate in new.items():
            if candidate.checked:
                took[file] = done.seconds.get(_name(catalog, file, candidate), 0)
    return took


def _is_stored(catalog: Catalog, file: PublishedFile, candidate: _Candidate) -> bool:
    """Whether the lake holds these bytes in the right folder, or must never hold them again."""
    seen = catalog.version(file.key, candidate.fetched.sha256)
    return seen is not None and (
        seen.status == "forgotten" or seen.lake_path == _lake_path(catalog, file, candidate)
    )


def _any_columns(checked: Checked) -> dict[str, dict[str, object]]:
    """Column hints with placeholder types: the lake does not need the real ones."""
    return {name: {"name": name, "data_type": "text"} for name, _ in checked.columns}


def rows_lost(before: FileVersion, after: FileVersion, tolerated_pct: float) -> tuple[str, ...]:
    """A remark where a version lost more than ``tolerated_pct`` percent of the rows before it."""
    old, new = before.row_count or 0, after.row_count or 0
    if not old or 100 * (old - new) / old <= tolerated_pct:
        return ()
    return (f"{old - new:,} of {old:,} rows are gone, {100 * (old - new) / old:.1f} %",)


def _record(
    catalog: Catalog, file: PublishedFile, candidate: _Candidate, tolerated_pct: float
) -> Landed:
    fetched, checked = candidate.fetched, candidate.checked
    before = next((x for x in catalog.current() if x.key == file.key), None)
    landing = FileVersion(
        dataset=file.dataset,
        month=file.month,
        file_id=fetched.sha256,
        source_url=file.url,
        etag=fetched.etag,
        last_modified=fetched.last_modified,
        bytes=fetched.bytes,
        row_count=checked.row_count if checked else None,
        columns=checked.columns if checked else (),
        lake_path=_lake_path(catalog, file, candidate),
        landed_at=datetime.now(UTC),
        status="landed" if checked else "quarantined",
        error=candidate.distrust,
        remarks=checked.remarks if checked else (),
        item=file.item,
    )
    last = catalog.last_landing(file.key)
    if last is None or replace(landing, landed_at=last.landed_at) != last:
        landing = catalog.append(landing)
    if decided := catalog.decided(landing):
        return Landed(file, Outcome.PASSED_OVER, landing, decided.text)
    if candidate.distrust:
        return Landed(file, Outcome.QUARANTINED, landing, candidate.distrust)
    if before is None:
        was_passed_over = any(v.key == file.key for v in catalog.passed_over())
        outcome = Outcome.REPUBLISHED if was_passed_over else Outcome.NEW
        return Landed(file, outcome, landing, remarks=landing.remarks)
    if before.file_id == fetched.sha256:
        return Landed(file, Outcome.SAME_CONTENT, landing)
    remarks = (*rows_lost(before, landing, tolerated_pct), *landing.remarks)
    return Landed(file, Outcome.REPUBLISHED, landing, remarks=remarks)
