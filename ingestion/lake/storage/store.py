"""Where files are kept: in a folder, or a bucket of S3, Google Cloud Storage or Azure.

The lake is kept so, and so are the publications. Only this module opens and calls such storage.
Each cloud's SDK finds credentials and endpoint by its own variables; nothing here reads or holds a
secret. An error becomes one line: which place, why, and what to do.
"""

import hashlib
import io
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import fsspec

from ingestion.addresses import local_path
from ingestion.errors import CorruptedError, ReplacedError
from ingestion.lake.storage import conditional, s3
from ingestion.lake.storage.checksums import (
    S3_CHECKSUM,
    Digests,
    checksum_of,
    digests,
    makes_checksums,
)
from ingestion.object_stores import file_systems
from ingestion.object_stores.errors import explained
from ingestion.object_stores.file_systems import (
    PART_BYTES,
    PARTS_AT_ONCE,
    file_system,
    s3_encryption,
)
from ingestion.settings import Settings

PARTIAL = ".partial"  # the end of a local file's name until it is whole


class Store:
    """The storage below one address. Names are relative to the address.

    ``holds`` says in messages what is kept there. ``fs`` and ``root`` are for readers that need an
    fsspec file system: ``fs`` opens ``f"{root}/{name}"``.
    """

    def __init__(
        self, url: str, encryption: str = "", storage_class: str = "", holds: str = "the lake"
    ):
        self.url = url
        self.scheme = url.partition("://")[0]
        self.is_local = self.scheme == "file"
        # not fsspec's url_to_fs: a # or a ? in a name is part of the name
        path = local_path(url)
        self.root = str(path) if path else url.partition("://")[2]
        self._holds = holds
        self._encryption = encryption
        self._storage_class = storage_class
        with self.errors("open"):
            self.fs: fsspec.AbstractFileSystem = file_system(self.scheme, encryption)

    def path(self, name: str) -> str:
        """The path of an object for ``fs``."""
        return f"{self.root}/{name}"

    def address(self, name: str) -> str:
        """The full address of an object; for a lake in a folder, its path."""
        return self.path(name) if self.is_local else f"{self.url}/{name}"

    def names(self, folder: str) -> list[str]:
        """All objects below a folder; none if there is no such folder."""
        with self.errors("read"):
            if self.is_local:  # fsspec shows a folder that cannot be read as empty
                found = sorted(_files_below(self.path(folder)))
            else:
                found = self.fs.find(self.path(folder))
                if not found:
                    self._ask_for_bucket()
        return [path[len(self.root) + 1 :] for path in found]

    def sizes(self, folder: str) -> dict[str, int]:
        """The size in bytes of every object below a folder, by name."""
        with self.errors("read"):
            if self.is_local:  # fsspec asks four times as long
                found = _sizes_below(self.path(folder))
            else:
                listed = self.fs.find(self.path(folder), detail=True)
                found = {path: int(info["size"]) for path, info in listed.items()}
        return {path[len(self.root) + 1 :]: size for path, size in found.items()}

    def exists(self, name: str) -> bool:
        """Whether there is an object of this name."""
        with self.errors("read"):
            return bool(self.fs.exists(self.path(name)))

    def delete(self, name: str) -> None:
        """Delete an object, if it is there."""
        with self.errors("write to"), suppress(FileNotFoundError):
            self.fs.rm_file(self.path(name))

    def delete_unfinished(
        self,
        before: datetime,
        is_file: Callable[[str], bool],
        is_folder: Callable[[str], bool] = lambda _: False,
        below: str = "",
    ) -> None:
        """Delete in a folder what writes left that were killed before then; a bucket shows none.

        These are files cut short whose names would be ``is_file``, and empty folders that are
        ``is_folder``. With ``below`` they are only looked for in that folder.
        """
        if not self.is_local:
            return
        with self.errors("write to"):
            for path, is_there_a_folder in _entries_below(self.path(below) if below else self.root):
                name = path[len(self.root) + 1 :]
                whole = name.removesuffix(PARTIAL)
                ours = is_folder(name) if is_there_a_folder else whole != name and is_file(whole)
                if not ours:
                    continue
                with suppress(FileNotFoundError):
                    if os.stat(path).st_mtime >= before.timestamp():  # noqa: PTH116
                        continue
                    if not is_there_a_folder:
                        os.unlink(path)  # noqa: PTH108
                    elif not os.listdir(path):  # noqa: PTH208
                        os.rmdir(path)  # noqa: PTH106

    def read(self, name: str) -> bytes:
        """The content of a small object; raises ``FileNotFoundError`` where there is none."""
        try:
            with self.errors("read", or_missing=True):
                content: bytes = self.fs.cat_file(self.path(name))
                return content
        except FileNotFoundError:
            if not self.is_local:
                self.names(name)  # says so where it is the bucket that is not there
            raise

    def read_all(self, names: Sequence[str]) -> list[bytes]:
        """The contents of small objects, read in parallel."""
        with self.errors("read"):
            # unlike cat(), this does not read a [ or a * in the lake's path as a pattern
            contents: list[bytes] = self.fs.cat_ranges(
                [self.path(name) for name in names], None, None, on_error="raise"
            )
        return contents

    def read_tagged(self, name: str) -> tuple[bytes, str]:
        """The content of a small object, and a tag of this state of it, for ``replace()``.

        Raises ``FileNotFoundError`` where there is no such object.
        """
        try:
            with self.errors("read", or_missing=True):
                return conditional.read(self.fs, self.scheme, self.path(name))
        except FileNotFoundError:
            if not self.is_local:
                self.names(name)  # says so where it is the bucket that is not there
            raise

    def replace(self, name: str, content: bytes, tag: str | None) -> None:
        """Write a small object, if it still has this tag; None means that it is not there yet.

        Raises ``ReplacedError`` where somebody else has written it since.
        """
        if self._has_replaced(name, content, tag):
            return
        # an attempt whose answer was lost has succeeded
        with suppress(FileNotFoundError):
            if self.read(name) == content:
                return
        raise ReplacedError(
            f"{self.address(name)} was replaced by somebody else in the meantime, from another"
            " machine"
        )

    def _has_replaced(self, name: str, content: bytes, tag: str | None) -> bool:
        if self.is_local:
            present = None
            with suppress(FileNotFoundError):
                _, present = self.read_tagged(name)
            if present == tag:
                self.write(name, content)
            return present == tag
        options = self._encryption_options()  # S3's file system adds its own
        if self.scheme == "gs" and self._encryption:
            options = {"kmsKeyName": self._encryption}
        with self.errors("write to"):
            path = self.path(name)
            return conditional.replace(self.fs, self.scheme, path, content, tag, options)

    def write(self, name: str, content: bytes) -> None:
        """Write a small object, which gets its name only when it is whole."""
        with self.errors("write to"):
            self._make_folder(name)
            if self.scheme == "gs" and self._encryption:
                self._write_encrypted(io.BytesIO(content), name)
            elif self.is_local:
                # as in _upload(): a record cut short would count as damage, not as no landing
                self.fs.pipe_file(f"{self.path(name)}{PARTIAL}", content)
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
        with self.errors("write to"), ThreadPoolExecutor(1, "digest") as beside:
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

    def copy_from(self, other: "Store", name: str, scratch: Path) -> None:
        """Copy an object that never changes, and keep its name.

        In a folder it becomes a second name of the same bytes where the file system can do that,
        and in one cloud the store copies it by itself. Else it passes through ``scratch``.
        """
        in_one_cloud = self.scheme == other.scheme and not self.is_local and not self._encryption
        if self.is_local and other.is_local:
            with self.errors("write to"):
                self._make_folder(name)
                partial = Path(f"{self.path(name)}{PARTIAL}")
                partial.unlink(missing_ok=True)
                try:
                    os.link(other.path(name), partial)
                except OSError:  # another disk, or one without links
                    self.fs.put_file(other.path(name), str(partial))
                self._name_whole(self.path(name))
        elif in_one_cloud:
            with self.errors("write to"):
                self.fs.cp_file(other.path(name), self.path(name))
        else:
            passing = scratch / "passing"
            self.put(passing, name, other.fetch(name, passing))
            passing.unlink()

    def _upload(self, source: Path, target: str, name: str) -> None:
        if self.is_local:
            # a copy that is killed half-way must not have the file's name
            self.fs.put_file(str(source), f"{target}{PARTIAL}")
            self._name_whole(target)
        elif self.scheme == "gs" and self._encryption:
            with source.open("rb") as file:
                self._write_encrypted(file, name)
        elif self.scheme == "s3":
            how = self._s3_object()
            s3.upload(source, target, how, PART_BYTES, PARTS_AT_ONCE, file_systems.SILENCE_SECONDS)
        else:
            self.fs.put_file(str(source), target, **self._upload_options())

    def _name_whole(self, path: str) -> None:
        """Give a local file its name once its bytes are safe from a power cut."""
        with Path(f"{path}{PARTIAL}").open("rb") as written:
            os.fsync(written.fileno())
        self.fs.mv(f"{path}{PARTIAL}", path)

    def probe(self) -> None:
        """Raise where an object cannot be written and deleted again."""
        name = ".doctor"
        self.write(name, b"")
        with self.errors("write to"):
            self.fs.rm(self.path(name))

    def sha256(self, name: str) -> str:
        """The sha256 of an object; raises ``FileNotFoundError`` where there is none.

        Every byte is read: what a store reports about its object does not prove its bytes.
        """
        with self.errors("read", or_missing=True), self._open(name) as stored:
            return hashlib.file_digest(stored, "sha256").hexdigest()

    def fetch(self, name: str, target: Path) -> str:
        """Copy an object to a local file; returns the sha256 of the bytes received.

        Raises ``FileNotFoundError`` where there is no such object.
        """
        digest = hashlib.sha256()
        with (
            self.errors("read", or_missing=True),
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
        return S3_CHECKSUM | s3_encryption(self._encryption) | storage_class

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
    def errors(self, doing: str, or_missing: bool = False) -> Iterator[None]:
        """Turn errors while ``doing`` something to this storage into ``MedallionError``."""
        try:
            yield
        except Exception as exc:
            if or_missing and isinstance(exc, FileNotFoundError):
                raise
            raise explained(exc, f"{doing} {self._holds}", self.url) from exc


def _entries_below(path: str) -> Iterator[tuple[str, bool]]:
    """The path of everything below a folder, and whether it is a folder; raises ``OSError``.

    What is not there, or goes meanwhile, is left out, and so are folders that a file system or a
    desktop makes. A file has only itself.
    """
    pending = [path]
    while pending:
        folder = pending.pop()
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if is_folder := entry.is_dir(follow_symlinks=False):
                        if entry.name.startswith(".") or entry.name == "lost+found":
                            continue  # nothing of ours is in them, and not everybody may look
                        pending.append(entry.path)
                    yield entry.path, is_folder
        except FileNotFoundError:
            continue
        except NotADirectoryError:
            os.stat(folder)  # noqa: PTH116  # raises where a file is in the place of its parent
            yield folder, False


def _files_below(path: str) -> Iterator[str]:
    return (found for found, is_folder in _entries_below(path) if not is_folder)


def _sizes_below(folder: str) -> dict[str, int]:
    # without a Path for each file: there are thousands, and every run asks
    sizes = {}
    for path in _files_below(folder):
        with suppress(FileNotFoundError):
            sizes[path] = os.stat(path).st_size  # noqa: PTH116
    return sizes


def open_lake(settings: Settings) -> Store:
    """The lake that the settings name, with their options for writing."""
    return Store(settings.lake_url, settings.lake_encryption, settings.lake_storage_class)
