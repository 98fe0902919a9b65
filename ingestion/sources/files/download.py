"""Fetches a published file: whole, hashed, in bounded memory.

Downloads stream into a file and survive broken connections. All parts of a download come from one
version: a part is used only if the server says that it is the requested part, of the same version
as the beginning.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ingestion.addresses import local_path
from ingestion.errors import FetchError
from ingestion.sources.base import Fetched, PublishedFile
from ingestion.sources.files.bucket import ask_bucket, is_in_bucket, read_object
from ingestion.sources.files.http import (
    NOT_PUBLISHED,
    Fingerprint,
    Part,
    client,
    file_fingerprint,
    part_of,
    request_errors,
    response_fingerprint,
    root_cause,
)
from ingestion.sources.files.pace import keep_pace
from ingestion.sources.spool import part_path

if TYPE_CHECKING:
    from requests import Response

DOWNLOAD_ATTEMPTS = 6
CHUNK_BYTES = 1 << 20
_HTML = ("<!doctype html", "<html")


def fetch(
    file: PublishedFile,
    spool: Path,
    on_bytes: Callable[[int], None] = lambda _: None,
    least_rate: int = 0,
) -> Fetched:
    """Download the whole ``file`` into the folder ``spool``, in bounded memory.

    If a killed run left a partial download of the same version there, continues it. Raises
    ``FetchError`` if the download fails, and if a web server sends less than ``least_rate`` bytes a
    second, again and again.
    """
    part = part_path(file, spool)
    source = local_path(file.url)
    if source is not None:
        etag, modified = _folder_fingerprint(file, source)
        return _copy(_chunks(file, source), part, on_bytes, etag, modified)
    if is_in_bucket(file.url):
        version = ask_bucket(file.url)
        if version is None:
            raise FetchError(f"{file.name}: {file.url} was published and is gone; run again.")
        chunks = read_object(file.url, version)
        return _copy(chunks, part, on_bytes, version.etag, version.last_modified)
    return _download(file, part, on_bytes, least_rate)


def _copy(
    chunks: Iterator[bytes],
    part: Path,
    on_bytes: Callable[[int], None],
    etag: str | None,
    modified: datetime | None,
) -> Fetched:
    digest, size = hashlib.sha256(), 0
    with part.open("wb") as writer:
        for chunk in chunks:
            writer.write(chunk)
            digest.update(chunk)
            size += len(chunk)
            on_bytes(len(chunk))
    return Fetched(part, digest.hexdigest(), size, etag, modified)


def _folder_fingerprint(file: PublishedFile, source: Path) -> tuple[str | None, datetime | None]:
    try:
        etag, modified, _ = file_fingerprint(source)
    except OSError as exc:
        raise _unreadable(file, source, exc) from exc
    return etag, modified


def _chunks(file: PublishedFile, source: Path) -> Iterator[bytes]:
    try:
        with source.open("rb") as reader:
            while chunk := reader.read(CHUNK_BYTES):
                yield chunk
    except OSError as exc:
        raise _unreadable(file, source, exc) from exc


def _unreadable(file: PublishedFile, source: Path, exc: OSError) -> FetchError:
    if isinstance(exc, FileNotFoundError):
        return FetchError(f"{file.name}: {source} was there and is gone; run again.")
    what = "let this account read it, and " if isinstance(exc, PermissionError) else ""
    return FetchError(f"{file.name}: {source} cannot be read: {exc.strerror}; {what}run again.")


def _download(
    file: PublishedFile, part: Path, on_bytes: Callable[[int], None], least_rate: int
) -> Fetched:
    """Stream one address into ``part``; a new attempt continues where the last one broke off."""
    import requests

    download = _Download(part)
    error: Exception | None = None
    for _ in range(DOWNLOAD_ATTEMPTS):
        have, begun = download.begun()
        headers = {"Range": f"bytes={have}-", "If-Range": str(begun.etag)} if begun else {}
        try:
            with client().get(file.url, headers=headers, stream=True) as response:
                if response.status_code == 416:  # the bytes we have are not part of this version
                    download.forget()
                if response.status_code in NOT_PUBLISHED:
                    raise FetchError(
                        f"{file.name}: {file.url} was published and is gone; run again."
                    )
                response.raise_for_status()
                found = response_fingerprint(response)
                packed = _is_packed(response)
                if response.status_code == 206 and not (
                    begun and _continues(response, have, begun, found)
                ):
                    download.forget()
                    raise requests.ConnectionError(
                        "the server sent another part, or of another version, than was asked for"
                    )
                if response.status_code != 206:
                    download.begin(found if not packed else Fingerprint(None, None, None))
                _let_no_cut_pass(file, response, found)
                keep_pace(response, least_rate)
                with part.open("ab") as writer:
                    for chunk in _body(response, keep_packed=file.url.endswith(".gz")):
                        if not writer.tell() and not is_page(file):
                            _let_no_page_pass(file, chunk)
                        writer.write(chunk)
                        on_bytes(len(chunk))
            size = part.stat().st_size
            if not packed and found.bytes not in (None, size):
                if size > (found.bytes or 0):
                    download.forget()
                raise requests.ConnectionError(
                    f"{size:,} of {found.bytes:,} bytes came before the connection closed"
                )
        except request_errors() as exc:
            error = exc
            continue
        download.forget()
        if not packed and (file.etag, file.last_modified) == found[:2] and file.bytes:
            _let_no_lie_pass(file, size)
        with part.open("rb") as reader:
            digest = hashlib.file_digest(reader, "sha256").hexdigest()
        return Fetched(part, digest, size, found.etag, found.last_modified)
    assert error is not None
    raise FetchError(
        f"{file.name}: cannot download {file.url}: {root_cause(error)}. Run again later."
    )


class _Download:
    """A partial download, and beside it the file's version if the download can be continued."""

    def __init__(self, part: Path):
        self._part = part
        self._version = part.with_suffix(".etag")

    def begun(self) -> tuple[int, Fingerprint | None]:
        """The number of bytes received, and their version; no version if it cannot be continued."""
        try:
            etag, modified, size = json.loads(self._version.read_text())
            have = self._part.stat().st_size
            moment = datetime.fromisoformat(modified) if modified else None
        except (OSError, ValueError, TypeError):
            return 0, None
        return (have, Fingerprint(etag, moment, size)) if have else (0, None)

    def begin(self, version: Fingerprint) -> None:
        """Start at the first byte. The order of steps keeps versions apart even after a kill."""
        self.forget()
        self._part.write_bytes(b"")
        if version.can_be_continued:
            etag, modified, size = version
            content = json.dumps([etag, modified.isoformat() if modified else None, size])
            self._version.write_text(content)

    def forget(self) -> None:
        """Do not continue: the next attempt fetches the whole file."""
        self._version.unlink(missing_ok=True)


def _continues(response: "Response", have: int, begun: Fingerprint, found: Fingerprint) -> bool:
    """Whether the server says that its answer is the rest of the begun download.

    Some servers send the requested part of whatever version they then have.
    """
    part = part_of(response)
    return (
        part is not None
        and part.total is not None
        and part == Part(have, part.total - 1, part.total)
        and begun.bytes in (None, part.total)
        and begun.etag == found.etag
        # servers may leave this header out of a partial answer
        and found.last_modified in (None, begun.last_modified)
    )


def _is_packed(response: "Response") -> bool:
    """Whether the server compressed its answer, although it was asked not to."""
    return response.headers.get("Content-Encoding", "identity").strip().lower() not in (
        "",
        "identity",
    )


def _body(response: "Response", keep_packed: bool) -> Iterator[bytes]:
    """The file's bytes. A ``.gz`` stays packed, though some servers declare it as compressed."""
    if not keep_packed:
        yield from response.iter_content(CHUNK_BYTES)
        return
    body: Any = response.raw
    yield from body.stream(CHUNK_BYTES, decode_content=False)


def is_page(file: PublishedFile) -> bool:
    """Whether a document is a web page by its name."""
    return (file.item or "").lower().endswith((".html", ".htm"))


def _let_no_page_pass(file: PublishedFile, beginning: bytes) -> None:
    """Refuse a web page: no file of ours is one, but networks with a login page answer so."""
    text = beginning[:1024].decode("utf-8-sig", "replace").lstrip().lower()
    if text.startswith(_HTML):
        raise FetchError(
            f"{file.name}: {file.url} is an HTML error page, not the file. Open it in a browser:"
            " a network that asks for a login answers so, and a server in trouble. Then run again."
        )


def _let_no_cut_pass(file: PublishedFile, response: "Response", found: Fingerprint) -> None:
    """Refuse a download that may be cut short unseen: a CSV file can end anywhere."""
    chunked = "chunked" in response.headers.get("Transfer-Encoding", "").lower()
    if file.file_format == "csv" and found.bytes is None and not chunked:
        raise FetchError(
            f"{file.name}: {file.url} comes without its length, so that nobody can tell whether it"
            " is whole. Let the server send Content-Length, or put the file into a folder."
        )


def _let_no_lie_pass(file: PublishedFile, size: int) -> None:
    """Refuse a length that differs from what the server said before of the same version."""
    if file.bytes != size:
        raise FetchError(
            f"{file.name}: {file.url} is {file.bytes:,} bytes long by what the server says of it,"
            f" and {size:,} came. Run again; if it stays so, the server or a cache before it is"
            " at fault."
        )
