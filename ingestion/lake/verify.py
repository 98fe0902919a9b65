"""Prove that the lake still holds every version, and restore what the publisher still has.

A version is restored to its old path. So its catalog records are true again, and past days that
used it can be read again.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from ingestion.errors import CorruptedError, FetchError, MedallionError
from ingestion.lake.catalog import Catalog, FileVersion, key_of, land_again, name_of, record_remedy
from ingestion.lake.file_version import record_name
from ingestion.lake.storage.store import open_lake
from ingestion.locks import turns_with_files
from ingestion.progress import Progress, Quiet
from ingestion.settings import Settings
from ingestion.sources import registry
from ingestion.sources.base import PublishedFile
from ingestion.sources.kinds import kind_of

READS_AT_ONCE = 4


@dataclass(frozen=True)
class Verified:
    """One object of the lake; ``error`` is none if it is intact."""

    landing: FileVersion
    error: str | None
    is_restored: bool = False
    not_restored: str | None = None  # why restoring failed, where it was tried
    is_forgotten: bool = False  # it should not be there any more

    @property
    def remedy(self) -> str:
        """How to restore the version."""
        if self.is_forgotten:
            return f"medallion forget {self.landing.name} completes it"
        kept = f"restore {self.landing.lake_path} from the bucket's versions or a backup"
        if self.not_restored:
            return f"it could not be restored ({self.not_restored}): {kept}"
        return f"{kept}; or, while it is still published, with medallion verify --restore"


def verify(settings: Settings, progress: Progress | None = None) -> list[Verified]:
    """Read every version in the lake again and compare its sha256 with the catalog's.

    A version that is forgotten is gone on purpose; one that is still there is an error. Records
    that cannot be read are left out: ``orphans()`` gives them.
    """
    progress = progress or Quiet()
    store = open_lake(settings)
    catalog = Catalog(store, in_part=True)
    # a version in quarantine now may have been in use before, and still have its old path
    versions = list({v.lake_path: v for v in (*catalog.landings, *catalog.versions())}.values())
    gone = catalog.paths_of(v for v in catalog.passed_over() if v.status == "forgotten")
    left = gone & {n for f in ("raw", "quarantine") for n in store.names(f)} if gone else set()
    versions = [v for v in versions if v.lake_path not in gone - left]
    progress.stage("verify", len(versions), sum(v.bytes for v in versions))

    def one(version: FileVersion) -> Verified:
        if version.lake_path in left:
            return Verified(version, "it was to be forgotten, and is there", is_forgotten=True)
        try:
            found = store.sha256(version.lake_path)
        except FileNotFoundError:
            error = "it is gone"
        else:
            error = "" if found == version.file_id else f"its bytes have changed (sha256 {found})"
        progress.advance(version.bytes)
        progress.file_done(version.name, error or "intact")
        return Verified(version, error or None)

    with ThreadPoolExecutor(READS_AT_ONCE, thread_name_prefix="verify") as pool:
        return list(pool.map(one, versions))


@dataclass(frozen=True)
class Orphan:
    """An orphan: an object without a catalog record, or a record that cannot be read."""

    path: str
    error: str
    remedy: str


def orphans(settings: Settings, progress: Progress | None = None) -> list[Orphan]:
    """The lake's orphans: objects and records that belong to no landing that can be read.

    Objects whose names are not of our form are ignored. Waits for landings that are under way on
    this machine.
    """
    store = open_lake(settings)
    # objects are listed before records: a file that lands meanwhile then has its record
    objects = [
        name for folder in ("raw", "quarantine") for name in store.names(folder) if key_of(name)
    ]
    catalog = Catalog(store, in_part=True)
    lost = _without_record(objects, catalog)
    if lost:
        with turns_with_files(settings, {_file_of(name) for name in lost}, progress or Quiet()):
            catalog = Catalog(store, in_part=True)
            lost = _without_record(lost, catalog)
    kept = "from the bucket's versions or a backup"
    records = [
        Orphan(
            record.name,
            f"the record of a landing cannot be read ({record.reason})",
            record_remedy(record.name),
        )
        for record in catalog.unreadable
    ]
    records += [
        Orphan(
            name,
            "the record of a landing was changed after it was written",
            record_remedy(name),
        )
        for name in catalog.changed
    ]
    now = datetime.now(UTC)
    records += [
        Orphan(
            record_name(landing),
            f"it says {landing.landed_at:%Y-%m-%d %H:%M} UTC, and it is {now:%Y-%m-%d %H:%M} here",
            "set this machine's clock; or, where the one that landed it was wrong or the record is"
            " counted after such a one, delete it and land its file again:"
            f" {land_again(record_name(landing))}",
        )
        for landing in catalog.ahead_of(now)
    ]
    return records + [
        Orphan(
            name,
            "it has no catalog record: the record is lost, or a landing was killed",
            f"restore its record in catalog/ {kept}; or, while this version is still published,"
            f" land it again: {land_again(name)}",
        )
        for name in lost
    ]


def _without_record(objects: Iterable[str], catalog: Catalog) -> list[str]:
    known = {landing.lake_path for landing in catalog.landings}
    return [name for name in objects if name not in known]


def _file_of(name: str) -> str:
    key = key_of(name)
    return name_of(*key) if key else name


def restore(
    settings: Settings, verified: Iterable[Verified], progress: Progress | None = None
) -> list[Verified]:
    """Restore each damaged version from its publisher, where that still has the same bytes.

    Returns every version that was given: restored, or with the reason why not. Raises
    ``MedallionError`` when the lake or the disk refuses.
    """
    progress = progress or Quiet()
    verified = list(verified)
    faulty = [v for v in verified if v.error and not v.is_forgotten]
    progress.stage("restore", len(faulty), sum(v.landing.bytes for v in faulty))
    return [_restored(settings, v, progress) if v in faulty else v for v in verified]


def _restored(settings: Settings, faulty: Verified, progress: Progress) -> Verified:
    version = faulty.landing
    try:
        with turns_with_files(settings, [version.name], progress):
            _fetch_into_place(settings, version, progress)
    except (FetchError, CorruptedError) as exc:
        result = replace(faulty, not_restored=str(exc).rstrip("."))
    else:
        result = replace(faulty, error=None, is_restored=True)
    progress.file_done(version.name, result.not_restored or "restored")
    return result


def _fetch_into_place(settings: Settings, version: FileVersion, progress: Progress) -> None:
    # the published file as it was when this version was last seen
    published = PublishedFile(
        version.dataset,
        version.month,
        version.source_url,
        version.etag,
        version.last_modified,
        version.bytes,
        file_format=registry.datasets()[version.dataset].format_of(version.lake_path),
        item=version.item,
    )
    publisher = settings.publisher(registry.source_of(version.dataset))
    try:
        fetched = kind_of(publisher).fetch(
            publisher, published, settings.spool_dir, progress.advance
        )
    except OSError as exc:
        raise MedallionError(f"Cannot write to {settings.spool_dir}: {exc.strerror}.") from exc
    if fetched is None:
        raise FetchError("it is not published any more")
    try:
        if fetched.sha256 != version.file_id:
            raise FetchError(f"what is published now is another version, sha256 {fetched.sha256}")
        open_lake(settings).put(fetched.path, version.lake_path, version.file_id)
    finally:
        fetched.path.unlink()
