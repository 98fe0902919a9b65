"""Names of downloads in the spool: the folder where a file waits until it is landed."""

import hashlib
from pathlib import Path

from ingestion.addresses import file_name_of
from ingestion.sources.base import Fetched, PublishedFile


def part_path(file: PublishedFile, spool: Path) -> Path:
    """Where a download of this version of ``file`` is written; makes the folder."""
    spool.mkdir(mode=0o700, parents=True, exist_ok=True)
    identity = f"{file.url}\n{file.etag}\n{file.last_modified}\n{file.bytes}"
    digits = hashlib.sha256(identity.encode()).hexdigest()[:24]
    return spool / f"{_prefix(file)}{digits}.part"


def download_at(part: Path, etag: str | None = None) -> Fetched:
    """A download that is complete, with the sha256 of its bytes."""
    with part.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Fetched(part, digest, part.stat().st_size, etag, None)


def forget_parts(file: PublishedFile, spool: Path) -> None:
    """Delete every download of ``file`` in ``spool``, of any version, complete or not."""
    for part in spool.glob(f"{_prefix(file)}*"):
        part.unlink(missing_ok=True)


def has_parts(file: PublishedFile, spool: Path) -> bool:
    """Whether a killed run has left a download of ``file`` in ``spool``."""
    return any(spool.glob(f"{_prefix(file)}*"))


def _prefix(file: PublishedFile) -> str:
    return f"{file_name_of(file.name)}."
