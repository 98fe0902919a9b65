"""How a published file is fetched: whole, hashed, in bounded memory.

Downloads stream into a file and survive broken connections.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from ingestion.errors import FetchError
from ingestion.publisher import PublishedFile
from ingestion.settings import local_path
from ingestion.web import (
    NOT_PUBLISHED,
    client,
    file_fingerprint,
    response_fingerprint,
    root_cause,
)

DOWNLOAD_ATTEMPTS = 6
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Fetched:
    """A whole download: its bytes' hash, and what the publisher said of the bytes it sent."""

    path: Path
    sha256: str
    bytes: int
    etag: str | None
    last_modified: datetime | None


def fetch(
    file: PublishedFile, spool: Path, on_bytes: Callable[[int], None] = lambda _: None
) -> Fetched:
    """Download ``file`` whole into the folder ``spool``, in bounded memory.

    A partial download of the same version that a killed run left there is continued. Raises
    ``FetchError`` when it cannot be had.
    """
    spool.mkdir(parents=True, exist_ok=True)
    identity = f"{file.url}\n{file.etag}\n{file.last_modified}\n{file.bytes}"
    part = spool / f"{hashlib.sha256(identity.encode()).hexdigest()[:24]}.part"
    source = local_path(file.url)
    if source is not None:
        return _copy(file, source, part, on_bytes)
    return _download(file, part, on_bytes)


def _copy(
    file: PublishedFile, source: Path, part: Path, on_bytes: Callable[[int], None]
) -> Fetched:
    try:
        etag, modified, _ = file_fingerprint(source)
        reader = source.open("rb")
    except OSError as exc:
        raise _unreadable(file, source, exc) from exc
    digest, size = hashlib.sha256(), 0
    with reader, part.open("wb") as writer:
        for chunk in _chunks(file, source, reader):
            writer.write(chunk)
            digest.update(chunk)
            size += len(chunk)
            on_bytes(len(chunk))
    return Fetched(part, digest.hexdigest(), size, etag, modified)


def _chunks(file: PublishedFile, source: Path, reader: BinaryIO) -> Iterator[bytes]:
    try:
        while chunk := reader.read(CHUNK_BYTES):
            yield chunk
    except OSError as exc:
        raise _unreadable(file, source, exc) from exc


def _unreadable(file: PublishedFile, source: Path, exc: OSError) -> FetchError:
    gone = isinstance(exc, FileNotFoundError)
    why = "was there and is gone" if gone else f"cannot be read: {exc.strerror}"
    return FetchError(f"{file.name}: {source} {why}; run again.")


def _download(file: PublishedFile, part: Path, on_bytes: Callable[[int], None]) -> Fetched:
    """Stream one address into ``part``; each broken attempt goes on where the last one stopped."""
    import requests

    validator = part.with_suffix(".etag")
    fault: Exception | None = None
    for _ in range(DOWNLOAD_ATTEMPTS):
        have = part.stat().st_size if part.exists() and validator.exists() else 0
        headers = {}
        if have:
            headers = {"Range": f"bytes={have}-", "If-Range": validator.read_text()}
        try:
            with client().get(file.url, headers=headers, stream=True) as response:
                if response.status_code == 416:  # what is there is not part of this version
                    validator.unlink(missing_ok=True)
                if response.status_code in NOT_PUBLISHED:
                    raise FetchError(
                        f"{file.name}: {file.url} was published and is gone; run again."
                    )
                response.raise_for_status()
                resumed = response.status_code == 206
                etag, modified, length = response_fingerprint(response)
                if etag and not etag.startswith("W/"):
                    validator.write_text(etag)
                whole = (have if resumed else 0) + length if length is not None else None
                with part.open("ab" if resumed else "wb") as writer:
                    for chunk in response.iter_content(CHUNK_BYTES):
                        writer.write(chunk)
                        on_bytes(len(chunk))
            if whole is not None and part.stat().st_size != whole:
                raise requests.ConnectionError(
                    f"{part.stat().st_size:,} of {whole:,} bytes came before the connection closed"
                )
        except requests.RequestException as exc:
            fault = exc
            continue
        validator.unlink(missing_ok=True)
        with part.open("rb") as reader:
            digest = hashlib.file_digest(reader, "sha256").hexdigest()
        return Fetched(part, digest, part.stat().st_size, etag, modified)
    assert fault is not None
    raise FetchError(
        f"{file.name}: cannot download {file.url}: {root_cause(fault)}. Run again later."
    )
