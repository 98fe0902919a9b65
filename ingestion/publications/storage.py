"""Where publications are kept, and the names of what is kept there."""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from ingestion.addresses import local_path
from ingestion.errors import MedallionError, UsageError
from ingestion.lake.storage.store import Store
from ingestion.locks import turn_with_file
from ingestion.progress import Progress
from ingestion.publications.manifest import Publication, from_json
from ingestion.settings import Settings

MANIFEST = "manifest.json"
VIEWS = "medallion.duckdb"
PUBLICATIONS = "publications"
ID_TIME = "%Y%m%dT%H%M%SZ"
IS_MANIFEST = re.compile(rf"{PUBLICATIONS}/(\d{{8}}T\d{{6}}Z-[0-9a-f]{{6}})/{re.escape(MANIFEST)}")
# a file of a table, as ``write`` names it: whatever else lies there is not ours
IS_PART = re.compile(
    r"([^/]+/[^/]+)/(service=[^/]+/source_month=[^/]+/[0-9a-f]{16}-)?[0-9a-f]{16}\.parquet"
)
IN_PUBLICATION = re.compile(rf"{PUBLICATIONS}/(\d{{8}}T\d{{6}}Z-[0-9a-f]{{6}})/")
LOCK = ".lock"
DAMAGED = f"{PUBLICATIONS}/damaged.json"  # the paths of files that verify found damaged


def open_publications(settings: Settings) -> Store:
    """The storage of this warehouse's publications; ``UsageError`` if nothing is published."""
    url = settings.publications_url
    if url is None:
        raise UsageError(
            "This warehouse publishes nothing: MEDALLION_PUBLISH_URL is not set, or off."
        )
    if folder := local_path(url):
        _check_mounted(folder, _note(settings))
    # a key encrypts in the cloud that it belongs to
    in_one_cloud = urlsplit(url).scheme == urlsplit(settings.lake_url).scheme
    encryption = settings.lake_encryption if in_one_cloud else ""
    return Store(url, encryption, holds="the publications")


def manifest_of(publication_id: str) -> str:
    """The name of a publication's manifest."""
    return f"{PUBLICATIONS}/{publication_id}/{MANIFEST}"


def views_of(publication_id: str) -> str:
    """The name of a publication's DuckDB file of views."""
    return f"{PUBLICATIONS}/{publication_id}/{VIEWS}"


def current(store: Store) -> Publication | None:
    """The publication that readers see; None before the first."""
    try:
        content = store.read(MANIFEST)
    except FileNotFoundError:
        return None
    return from_json(content, store.address(MANIFEST))


class Seen(NamedTuple):
    """The publication that readers see, and the tag of its manifest, with which to replace it."""

    publication: Publication | None = None
    tag: str | None = None


def seen_now(store: Store) -> Seen:
    """What readers see now, for who is to replace it.

    If its manifest was lost, it is the newest publication that is there: each is whole, and past
    nights must not count as publications that readers never saw.
    """
    try:
        content, tag = store.read_tagged(MANIFEST)
    except FileNotFoundError:
        return Seen(max(publications(store, []), key=lambda found: found.id, default=None))
    return Seen(from_json(content, store.address(MANIFEST)), tag)


def listing(store: Store) -> dict[str, int]:
    """The size of everything that belongs to publications, by name."""
    return {
        name: size
        for name, size in store.sizes("").items()
        if name in (MANIFEST, VIEWS)
        or name.startswith(f"{PUBLICATIONS}/")
        or IS_PART.fullmatch(name)
    }


def new_id(created_at: datetime, state: str) -> str:
    """The id of a publication: ids sort by the time that they begin with."""
    return f"{created_at.strftime(ID_TIME)}-{state[:6]}"


def time_of(publication_id: str) -> datetime:
    """When a publication was made."""
    return datetime.strptime(publication_id.partition("-")[0], ID_TIME).replace(tzinfo=UTC)


def ids(store: Store) -> list[str]:
    """The ids of every publication that is there, the oldest first."""
    found = (IS_MANIFEST.fullmatch(name) for name in store.names(PUBLICATIONS))
    return sorted(match[1] for match in found if match)


def publications(store: Store, errors: list[str] | None = None) -> list[Publication]:
    """Every publication that is there, the oldest first.

    Raises ``MedallionError`` for a manifest that cannot be read; with ``errors``, it is left out,
    and its error is added to them.
    """
    names = [manifest_of(publication_id) for publication_id in ids(store)]
    found = []
    for name, content in zip(names, store.read_all(names), strict=True):
        try:
            found.append(from_json(content, store.address(name)))
        except MedallionError as exc:
            if errors is None:
                raise
            errors.append(str(exc))
    return found


def clear_unfinished(store: Store, before: datetime) -> None:
    """Delete what publications left that were killed before then, and that none has completed.

    These are files cut short, which only a folder shows, and files of publications that have no
    manifest. Folders that are empty since then go too.
    """
    known = set(ids(store))
    for name in store.names(PUBLICATIONS):
        found = IN_PUBLICATION.match(name)
        if found and found[1] not in known and time_of(found[1]) < before:
            store.delete(name)
    store.delete_unfinished(before, _is_file, lambda name: bool(IN_PUBLICATION.match(f"{name}/")))


def _is_file(name: str) -> bool:
    """Whether a publication writes files of this name."""
    of_one = IN_PUBLICATION.match(name)
    return bool(name in (MANIFEST, VIEWS, DAMAGED) or of_one or IS_PART.fullmatch(name))


def forget_never_current(store: Store, current: Publication | None) -> None:
    """Delete the manifests of publications that were killed before readers saw them."""
    if current is None:
        return
    for publication_id in ids(store):
        if publication_id > current.id:
            forget(store, publication_id)


def forget(store: Store, publication_id: str) -> None:
    """Delete the manifest of a publication, and its views."""
    store.delete(manifest_of(publication_id))
    store.delete(views_of(publication_id))


@contextmanager
def turn(settings: Settings, progress: Progress) -> Iterator[None]:
    """Wait until nobody else on this machine changes the publications, and keep others out."""
    folder = local_path(settings.publications_url or "")
    # beside a folder, for every process of this machine; for a bucket, for those of a work folder
    name = f"publish-{_digest(settings)}.lock"
    path = folder / LOCK if folder else settings.work_dir / "locks" / name
    try:
        with turn_with_file(path, "the publications", progress):
            yield
            if folder:
                _take_note(folder, _note(settings))
    except OSError as exc:
        raise MedallionError(f"Cannot write to {path}: {exc.strerror}.") from exc


def _digest(settings: Settings) -> str:
    return hashlib.sha256((settings.publications_url or "").encode()).hexdigest()[:16]


def _note(settings: Settings) -> Path:
    """The file on this machine that says that something was published into a folder."""
    return settings.work_dir / "published" / _digest(settings)


def _take_note(folder: Path, note: Path) -> None:
    with suppress(OSError):
        if not (folder / MANIFEST).exists():
            note.unlink(missing_ok=True)
        elif not note.exists():
            note.parent.mkdir(parents=True, exist_ok=True)
            note.write_text(f"{folder}\n")


def _check_mounted(folder: Path, note: Path) -> None:
    """Raise where something was published into a folder that is now as a share not mounted."""
    try:
        if not note.exists() or (folder / MANIFEST).exists():
            return
        nearest = next(path for path in (folder, *folder.parents) if path.is_dir())
        if any(path.name != LOCK for path in nearest.iterdir()):
            return
    except OSError:
        return  # who reads it says why
    raise MedallionError(
        f"Nothing is at {folder}, where marts were published, and {nearest} is empty, as where a"
        f" share is not mounted. Mount it. If they were deleted for good, delete {note} too."
    )
