"""Files in a bucket of S3, Google Cloud Storage or Azure, by the SDKs' own credentials."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from ingestion.errors import FetchError
from ingestion.object_stores.errors import explained
from ingestion.object_stores.file_systems import BUCKETS, PART_BYTES, file_system
from ingestion.sources.files.http import Fingerprint


def is_in_bucket(url: str) -> bool:
    """Whether an address is in a bucket."""
    return url.partition("://")[0] in BUCKETS


def ask_bucket(url: str) -> Fingerprint | None:
    """The fingerprint of an object, or none if there is none; raises ``FetchError``."""
    with _one_line(url):
        fs, path = _opened(url)
        try:
            return _fingerprint(fs.info(path))
        except FileNotFoundError:
            return None


def list_bucket(url: str) -> Iterator[str]:
    """The names of all objects below an address; raises ``FetchError``."""
    with _one_line(url):
        fs, path = _opened(url)
        for found in fs.find(path):
            yield found[len(path) + 1 :]


def read_object(url: str, version: Fingerprint) -> Iterator[bytes]:
    """The bytes of one version of an object; raises ``FetchError``, also where it is replaced."""
    with _one_line(url):
        fs, path = _opened(url)
        with fs.open(path, "rb", block_size=PART_BYTES, cache_type="readahead") as stored:
            while part := stored.read(PART_BYTES):
                yield part
        if _fingerprint(fs.info(path)) != version:
            raise FetchError(f"{url} was replaced while it was read; run again.")


def _opened(url: str) -> tuple[Any, str]:
    scheme, _, path = url.partition("://")
    return file_system(scheme), path


def _fingerprint(found: dict[str, Any]) -> Fingerprint:
    """From an object's description, in which each file system has names of its own."""
    described = {name.lower().replace("_", ""): value for name, value in found.items()}
    modified = described.get("lastmodified") or described.get("updated")
    if isinstance(modified, str):
        modified = datetime.fromisoformat(modified)
    return Fingerprint(described.get("etag"), modified, described.get("size"))


@contextmanager
def _one_line(url: str) -> Iterator[None]:
    try:
        yield
    except FetchError:
        raise
    except Exception as exc:  # each SDK has exceptions of its own
        raise FetchError(str(explained(exc, "read", url))) from exc
