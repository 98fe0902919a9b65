"""dlt's working folders; each exists for the length of one load."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from ingestion.errors import MedallionError
from ingestion.locks import HeldError, locked_file, turn_with_file
from ingestion.progress import Quiet

_PREFIX = "scratch-"


@contextmanager
def scratch_folder(dlt_dir: Path) -> Iterator[Path]:
    """A new folder in ``dlt_dir``, deleted afterwards; raises ``MedallionError``.

    A lock file marks the folder as ours and in use: anything else in ``dlt_dir`` is left alone. A
    process id would not do, as containers that share ``dlt_dir`` number their own processes.
    """
    with ExitStack() as held:
        try:
            # no other process clears folders while this lock exists and is not yet held
            with _turn(dlt_dir):
                folder = dlt_dir / f"{_PREFIX}{uuid4().hex}"
                lock = _locks(dlt_dir) / f"{folder.name}.lock"
                held.callback(lock.unlink, missing_ok=True)
                held.enter_context(locked_file(lock))
                folder.mkdir(mode=0o700, parents=True)
                held.callback(shutil.rmtree, folder, ignore_errors=True)
        except OSError as exc:
            raise MedallionError(f"Cannot write to {dlt_dir}: {exc.strerror}.") from exc
        yield folder


def clear_scratch(dlt_dir: Path) -> None:
    """Delete the folders that killed processes left in ``dlt_dir``."""
    if not any(_left(dlt_dir)):
        return
    with suppress(OSError), _turn(dlt_dir):
        for lock in list(_left(dlt_dir)):
            with suppress(HeldError, OSError), locked_file(lock):
                shutil.rmtree(dlt_dir / lock.stem, ignore_errors=True)
                lock.unlink()


def _left(dlt_dir: Path) -> Iterator[Path]:
    return _locks(dlt_dir).glob(f"{_PREFIX}*.lock")


def _locks(dlt_dir: Path) -> Path:
    return dlt_dir.with_name("locks")


@contextmanager
def _turn(dlt_dir: Path) -> Iterator[None]:
    with turn_with_file(_locks(dlt_dir) / "dlt.lock", "its scratch folders", Quiet()):
        yield
