"""Environments on DuckDB: files beside the warehouse's own."""

import errno
import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from ingestion.errors import MedallionError
from ingestion.setting_values import ENV_NAME
from ingestion.settings import ENV_VARIANT, Settings
from ingestion.warehouse.duckdb.engine import DuckDb

CLONE = 0x40049409  # FICLONE of Linux: a copy that shares its blocks until one of them is changed
CANNOT_CLONE = (errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EINVAL, errno.EPERM)


class DuckDbEnvironments:
    """The environments of the warehouse in one file."""

    def __init__(self, main: Settings):
        self._main = DuckDb(main)
        self._path = main.duckdb_path

    def sizes(self) -> dict[str, int]:
        """The environments by name, each with the size of its file."""
        stem, suffix = re.escape(self._path.stem), re.escape(self._path.suffix)
        is_ours = re.compile(rf"{stem}\.{ENV_VARIANT}({ENV_NAME}){suffix}")
        with _errors(self._path.parent):
            there = sorted(self._path.parent.iterdir()) if self._path.parent.exists() else []
            found = ((is_ours.fullmatch(path.name), path) for path in there)
            return {match[1]: path.stat().st_size for match, path in found if match}

    def create(self, environment: Settings, empty: bool) -> None:
        """Copy the warehouse while no run writes it, or make an empty file."""
        if empty:
            partial = _partial(environment.duckdb_path)
            with _errors(partial):
                partial.parent.mkdir(parents=True, exist_ok=True)
                partial.unlink(missing_ok=True)
                duckdb.connect(partial).close()
                partial.replace(environment.duckdb_path)
            return
        if not self._main.exists():
            raise MedallionError(
                f"There is no warehouse at {self._path} to copy. Build it with"
                " medallion run, or begin with an empty environment: --empty."
            )
        # the run's lock, and the file's own against dbt alone and other writers
        with self._main.only_run(), self._main.session(read_only=True):
            _copy(self._path, environment.duckdb_path)

    def drop(self, environment: Settings) -> None:
        """Delete the file."""
        path = environment.duckdb_path
        with DuckDb(environment).only_run(), _errors(path):
            # the log first: one that is left would belong to the next file of this name
            _log(path).unlink(missing_ok=True)
            path.unlink()
        with _errors(path):
            path.with_name(f"{path.name}.run").unlink(missing_ok=True)

    def take_place(self, environment: Settings) -> None:
        """Copy the file beside the main one, and rename it; readers of the old one read on."""
        with DuckDb(environment).session(read_only=True):
            _copy(environment.duckdb_path, self._path)


def _copy(source: Path, target: Path) -> None:
    """Copy a closed DuckDB file; the copy gets its name when it is whole and safe on disk."""
    for path in (source, target):
        if _log(path).exists():
            raise MedallionError(
                f"{path} was not closed, and {_log(path).name} holds a part of it. Close the"
                " process that has it open; medallion run mends what a killed one left."
            )
    partial = _partial(target)
    with _errors(partial):
        try:
            with source.open("rb") as read, partial.open("wb") as written:
                try:
                    fcntl.ioctl(written.fileno(), CLONE, read.fileno())
                except OSError as exc:
                    if exc.errno not in CANNOT_CLONE:
                        raise
                    shutil.copyfileobj(read, written, 16 << 20)
                written.flush()
                os.fsync(written.fileno())
            partial.replace(target)
        except OSError:
            partial.unlink(missing_ok=True)
            raise


def _partial(path: Path) -> Path:
    return path.with_name(f"{path.name}.partial")


def _log(path: Path) -> Path:
    """DuckDB's log of what is not yet in the file."""
    return path.with_name(f"{path.name}.wal")


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise MedallionError(f"Cannot read or write {path}: {exc.strerror}.") from exc
