"""Prove that the lake still holds every version, and bring back what its publisher still has.

A version that comes back lies where it lay: the catalog's records of it hold again, and so do the
past days that they speak of.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from ingestion.catalog import Catalog, Landing
from ingestion.errors import FetchError, MedallionError
from ingestion.progress import Progress, Quiet
from ingestion.publisher import PublishedFile, fetch
from ingestion.settings import Settings
from ingestion.stores.store import open_lake

READS_AT_ONCE = 4


@dataclass(frozen=True)
class Verified:
    """One object of the lake: ``fault`` says what is wrong with it, if anything is."""

    landing: Landing
    fault: str | None
    is_restored: bool = False

    @property
    def remedy(self) -> str:
        """How to have the version back."""
        return (
            f"restore {self.landing.lake_path} from the bucket's versions or a backup; or, while"
            " it is still published, with medallion verify --restore"
        )


def verify(settings: Settings, progress: Progress | None = None) -> list[Verified]:
    """Read every version in the lake again and compare its sha256 with the catalog's."""
    progress = progress or Quiet()
    store = open_lake(settings)
    versions = Catalog(store).versions()
    progress.stage("verify", len(versions), sum(v.bytes for v in versions))

    def one(version: Landing) -> Verified:
        try:
            found = store.sha256(version.lake_path)
        except FileNotFoundError:
            fault = "it is gone"
        else:
            fault = "" if found == version.file_id else f"its bytes have changed (sha256 {found})"
        progress.advance(version.bytes)
        progress.file_done(version.name, fault or "intact")
        return Verified(version, fault or None)

    with ThreadPoolExecutor(READS_AT_ONCE, thread_name_prefix="verify") as pool:
        return list(pool.map(one, versions))


def restore(
    settings: Settings, verified: Iterable[Verified], progress: Progress | None = None
) -> list[Verified]:
    """Put each faulty version in its place again, where its publisher still has the same bytes.

    Returns all that came in: restored, or with why it could not be. Raises ``MedallionError`` when
    the lake or the disk refuses.
    """
    progress = progress or Quiet()
    verified = list(verified)
    faulty = [v for v in verified if v.fault]
    progress.stage("restore", len(faulty), sum(v.landing.bytes for v in faulty))
    return [_restored(settings, v, progress) if v.fault else v for v in verified]


def _restored(settings: Settings, faulty: Verified, progress: Progress) -> Verified:
    version = faulty.landing
    # a folder of its own: what lands the month meanwhile has the spool
    spool = settings.work_dir / "restore"
    try:
        fetched = fetch(_published(version), spool, progress.advance)
    except FetchError as exc:
        result = replace(faulty, fault=f"{faulty.fault}; not restored: {exc}")
    except OSError as exc:
        raise MedallionError(f"Cannot write to {spool}: {exc.strerror}.") from exc
    else:
        if fetched.sha256 == version.file_id:
            open_lake(settings).put(fetched.path, version.lake_path, version.file_id)
            result = replace(faulty, fault=None, is_restored=True)
        else:
            other = f"what is published now is another version (sha256 {fetched.sha256})"
            result = replace(faulty, fault=f"{faulty.fault}; not restored: {other}")
        fetched.path.unlink()
    progress.file_done(version.name, result.fault or "restored")
    return result


def _published(version: Landing) -> PublishedFile:
    """The file as it was published when this version was seen last."""
    return PublishedFile(
        version.dataset,
        version.month,
        version.source_url,
        version.etag,
        version.last_modified,
        version.bytes,
    )
