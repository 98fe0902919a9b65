"""Where a lake is kept: a folder, or a bucket of S3, Google Cloud Storage or Azure.

Only this module opens a lake and calls its storage. Each cloud's SDK finds credentials and endpoint
by its own variables; nothing here reads or holds a secret. An error becomes one line: which lake,
why, and what to do.
"""

import hashlib
import io
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import fsspec

from ingestion.addresses import local_path
from ingestion.errors import CorruptedError
from ingestion.lake.storage import s3
from ingestion.lake.storage.checksums import (
    S3_CHECKSUM,
    Digests,
    checksum_of,
    digests,
    makes_checksums,
)
from ingestion.lake.storage.errors import explained
from ingestion.settings import Settings

# The size of one read or sent part, and how many parts of one file are under way at once.
PART_BYTES = 8 << 20
PARTS_AT_ONCE = 4
CONNECT_SECONDS = 5
# After this silence of the store an attempt has failed; the SDK makes the next one.
SILENCE_SECONDS = 30
PAUSE_SECONDS = 1


class Store:
    """The storage of one lake. Names are relative to the lake's address.

    ``fs`` and ``root`` are for readers that need an fsspec file system: ``fs`` opens
    ``f"{root}/{name}"``.
    """

    def __init__(self, lake_url: str, encryption: str = "", storage_class: str = ""):
        self.url = lake_url
        self.scheme = lake_url.partition("://")[0]
        self.is_local = self.scheme == "file"
        # not fsspec's url_to_fs: a # or a ? in a name is part of the name
        path = local_path(lake_url)
        self.root = str(path) if path else lake_url.partition("://")[2]
        self._encryption = encryption
        self._storage_class = storage_class
        with self.faults("open"):
            options = file_system_options(self.scheme, encryption)
            with _no_defaults_of_others():
                self.fs: fsspec.AbstractFileSystem = file_system_class(self.scheme)(**options)
            _limit_patience(self.scheme, self.fs)

    def path(self, name: str) -> str:
        """The path of an object for ``fs``."""
        return f"{self.root}/{name}"

    def address(self, name: str) -> str:
        """The full address of an object; for a lake in a folder, its path."""
        return self.path(name) if self.is_local else f"{self.url}/{name}"

    def names(self, folder: str) -> list[str]:
        """All objects below a folder; none if there is no such folder."""
        with self.faults("read"):
            found = self.fs.find(self.path(folder))
            if not found:
                self._ask_for_bucket()
        return [path[len(self.root) + 1 :] for path in found]

    def read_all(self, names: Sequence[str]) -> list[bytes]:
        """The contents of small objects, read in parallel."""
        with self.faults("read"):
            # unlike cat(), this does not read a [ or a * in the lake's path as a pattern
            contents: list[bytes] = self.fs.cat_ranges(
                [self.path(name) for name in names], None, None, on_error="raise"
            )
        return contents

    def write(self, name: str, content: bytes) -> None:
        """Write a small object, which gets its name only when it is whole."""
        with self.faults("write to"):
            self._make_folder(name)
            if self.scheme == "gs" and self._encryption:
                self._write_encrypted(io.BytesIO(content), name)
            elif self.is_local:
                # as in _upload(): a record cut short would count as damage, not as no landing
                self.fs.pipe_file(f"{self.path(name)}.partial", content)
                self._name_whole(self.path(name))
            else:
                self.fs.pipe_file(self.path(name), content, **self._encryption_options())

    def digests_of(self, source: Path, beside: Executor) -> "Future[Digests] | None":
        """The digests that ``put()`` compares with the store's, computed in the background.

        None where the store computes none; ``put()`` then reads the object back.
        """
        return beside.submit(digests, source, self.scheme) if makes_checksums(self.scheme) else None

    def put(
        self, source: Path, name: str, file_id: str, found: "Future[Digests] | None" = None
    ) -> None:
        """Copy a file into the lake, and prove that its sha256 is ``file_id`` there.

        The object gets its name only when it is whole. ``found`` are the file's digests, if they
        are being computed already. Raises ``CorruptedError`` where the store holds other bytes.
        """
        target = self.path(name)
        # during the upload: both spend most of their time waiting
        with self.faults("write to"), ThreadPoolExecutor(1, "digest") as beside:
            found = found or self.digests_of(source, beside)
            self._make_folder(name)
            self._upload(source, target, name)
            told = checksum_of(self.fs, self.scheme, target)
            sent = found.result() if found and told is not None else None
        is_there = (
            (sent.sha256, sent.checksum) == (file_id, told)
            if sent
            else self.sha256(name) == file_id
        )
        if not is_there:
            raise CorruptedError(
                f"{self.address(name)} does not hold what was written to it, sha256 {file_id}"
            )

    def _upload(self, source: Path, target: str, name: str) -> None:
        if self.is_local:
            # a copy that is killed half-way must not have the file's name
            self.fs.put_file(str(source), f"{target}.partial")
            self._name_whole(target)
        elif self.scheme == "gs" and self._encryption:
            with source.open("rb") as file:
                self._write_encrypted(file, name)
        elif self.scheme == "s3":
            how = self._s3_object()
            s3.upload(source, target, how, PART_BYTES, PARTS_AT_ONCE, SILENCE_SECONDS)
        else:
            self.fs.put_file(str(source), target, **self._upload_options())

    def _name_whole(self, path: str) -> None:
        """Give a local file its name once its bytes are safe from a power cut."""
        with Path(f"{path}.partial").open("rb") as written:
            os.fsync(written.fileno())
        self.fs.mv(f"{path}.partial", path)

    def probe(self) -> None:
        """Raise where an object cannot be written and deleted again."""
        name = ".doctor"
        self.write(name, b"")
        with self.faults("write to"):
            self.fs.rm(self.path(name))

    def sha256(self, name: str) -> str:
        """The sha256 of an object; raises ``FileNotFoundError`` where there is none.

        Every byte is read: what a store reports about its object does not prove its bytes.
        """
        with self.faults("read", or_missing=True), self._open(name) as stored:
            return hashlib.file_digest(stored, "sha256").hexdigest()

    def fetch(self, name: str, target: Path) -> str:
        """Copy an object to a local file; returns the sha256 of the bytes received.

        Raises ``FileNotFoundError`` where there is no such object.
        """
        digest = hashlib.sha256()
        with (
            self.faults("read", or_missing=True),
            self._open(name) as stored,
            target.open("wb") as file,
        ):
            while part := stored.read(PART_BYTES):
                digest.update(part)
                file.write(part)
        return digest.hexdigest()

    def _open(self, name: str) -> Any:
        if self.is_local:
            return self.fs.open(self.path(name), "rb")
        return self.fs.open(self.path(name), "rb", block_size=PART_BYTES, cache_type="readahead")

    def _s3_object(self) -> dict[str, str]:
        storage_class = {"StorageClass": self._storage_class} if self._storage_class else {}
        return S3_CHECKSUM | _s3_encryption(self._encryption) | storage_class

    def _upload_options(self) -> dict[str, Any]:
        options: dict[str, Any] = self._encryption_options()
        if self.scheme == "gs":
            options["chunksize"] = PART_BYTES
        if self.scheme == "az" and self._storage_class:
            from azure.storage.blob import StandardBlobTier

            options["standard_blob_tier"] = StandardBlobTier(self._storage_class.capitalize())
        return options

    def _encryption_options(self) -> dict[str, Any]:
        if self.scheme == "az" and self._encryption:
            return {"encryption_scope": self._encryption}
        return {}  # S3's file system adds its options to every write

    def _write_encrypted(self, source: IO[bytes], name: str) -> None:
        # gcsfs takes encryption keys only here
        with self.fs.open(
            self.path(name), "wb", block_size=PART_BYTES, kms_key_name=self._encryption
        ) as stored:
            shutil.copyfileobj(source, stored, PART_BYTES)

    def _make_folder(self, name: str) -> None:
        # A bucket has no folders. Asked for one, some file systems would create the bucket.
        if self.is_local:
            self.fs.makedirs(self.path(name).rpartition("/")[0], exist_ok=True)

    def _ask_for_bucket(self) -> None:
        """Raise where there is no such bucket: some file systems show it as empty."""
        bucket = self.root.partition("/")[0]
        if self.scheme == "gs":  # the right to list covers this request
            self.fs.call("GET", "b/{}/o", bucket, maxResults=1)
        if self.scheme == "az" and not self.fs.exists(bucket):
            raise FileNotFoundError(f"no container {bucket}")

    @contextmanager
    def faults(self, doing: str, or_missing: bool = False) -> Iterator[None]:
        """Turn errors while ``doing`` something to the lake into ``MedallionError``."""
        try:
            yield
        except Exception as exc:
            if or_missing and isinstance(exc, FileNotFoundError):
                raise
            raise explained(exc, doing, self.url) from exc


@contextmanager
def _no_defaults_of_others() -> Iterator[None]:
    """Open a file system without the options from ``FSSPEC_*`` and fsspec's files in home.

    Users set the SDK's own variables; these options would be a second way beside them.
    """
    kept = dict(fsspec.config.conf)
    fsspec.config.conf.clear()
    try:
        yield
    finally:
        fsspec.config.conf.update(kept)


def _limit_patience(scheme: str, fs: Any) -> None:
    """Make a file system give up after some minutes, without logs, where its options cannot."""
    if scheme == "s3":
        # the SDK retries by itself, and s3fs retries its reads twice over
        fs.retries = 2
    if scheme == "gs":
        # logs every exception with its traceback, to stderr where logging is not set up
        logger = logging.getLogger("gcsfs")
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())
    if scheme == "az":
        # adlfs passes on none of the SDK's options, and by default the SDK waits ten minutes:
        # https://github.com/fsspec/adlfs/issues/502
        client = fs.service_client
        retries = client._config.retry_policy
        retries.total_retries = 2
        retries.initial_backoff = retries.random_jitter_range = PAUSE_SECONDS
        retries.increment_base = 2 * PAUSE_SECONDS
        connections = client._pipeline._transport.connection_config
        connections.timeout, connections.read_timeout = CONNECT_SECONDS, SILENCE_SECONDS


def open_lake(settings: Settings) -> Store:
    """The lake that the settings name, with their options for writing."""
    return Store(settings.lake_url, settings.lake_encryption, settings.lake_storage_class)


def file_system_class(scheme: str) -> Any:
    """fsspec's file system for a scheme; raises ``ImportError`` where its extra is not installed.

    The slow imports wait until a lake is opened.
    """
    # Without this, gcsfs asks Google by gRPC for each bucket's kind. With an emulator nobody
    # answers, and that takes a minute: https://github.com/fsouza/fake-gcs-server/issues/2069
    os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    return fsspec.get_filesystem_class(scheme)


def file_system_options(scheme: str, encryption: str = "") -> dict[str, Any]:
    """The options for fsspec's file system of a scheme; the SDK finds the credentials."""
    if scheme == "file":
        return {}
    # another process may have landed meanwhile
    options: dict[str, Any] = {"use_listings_cache": False}
    if scheme == "s3":
        options["config_kwargs"] = {
            "connect_timeout": CONNECT_SECONDS,
            "read_timeout": SILENCE_SECONDS,
        }
        options["s3_additional_kwargs"] = _s3_encryption(encryption)
    if scheme == "gs":
        # An emulator takes no credentials. Otherwise use those of Google's SDK, never anonymous.
        emulated = bool(os.environ.get("STORAGE_EMULATOR_HOST"))
        options["token"] = "anon" if emulated else "google_default"
        from aiohttp import ClientTimeout

        # a number would limit the whole request, and a slow line is not silence
        options["requests_timeout"] = ClientTimeout(
            total=None, sock_connect=CONNECT_SECONDS, sock_read=SILENCE_SECONDS
        )
    if scheme == "az":
        options["max_concurrency"] = PARTS_AT_ONCE
        options["connection_timeout"] = CONNECT_SECONDS
        options["read_timeout"] = SILENCE_SECONDS
    return options


def _s3_encryption(encryption: str) -> dict[str, str]:
    if encryption in ("", "AES256", "aws:kms", "aws:kms:dsse"):
        return {"ServerSideEncryption": encryption} if encryption else {}
    return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": encryption}
