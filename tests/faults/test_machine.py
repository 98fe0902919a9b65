"""What a machine does to a night: no disk, no memory, a damaged file, a crowd."""

import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path

import duckdb
import pytest

from tests.faults.commands import Command
from tests.faults.conftest import Tally
from tests.faults.jobs import Night, copy_of

pytestmark = pytest.mark.slow

MANY = 10
LATE_SECONDS = 60
ROOM = 4096  # bytes that a full disk has left, at most
DAMAGES = ("DuckDB file cut short", "DuckDB file no database", "DuckDB file of another version")


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory, plain_night: Path) -> Night:
    """DuckDB over a folder; one night behind it, another to come."""
    return copy_of(plain_night, tmp_path_factory.mktemp("machine"), "warehouse/warehouse.duckdb")


@contextmanager
def full_disk(folder: Path) -> Iterator[None]:
    """A file system without room in the place of a folder, with what it holds."""
    aside = folder.with_name(f"{folder.name}.held")
    shutil.copytree(folder, aside, copy_function=shutil.copy2)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", folder])
    if mounted.returncode:
        pytest.skip("only root may mount a small file system")
    try:
        shutil.copytree(aside, folder, dirs_exist_ok=True, copy_function=shutil.copy2)
        filler = folder / "filler"
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(ROOM))
        yield
        filler.unlink()
        shutil.rmtree(aside)
        shutil.copytree(folder, aside, copy_function=shutil.copy2)
    finally:
        subprocess.run(["umount", folder], check=True)
        shutil.rmtree(folder)
        aside.rename(folder)


def test_a_run_that_cannot_go_on(night: Night, at_length: bool, tally: Tally) -> None:
    """No room on a disk, no memory, a warehouse that somebody holds: the next run does it all.

    In the short version also a damaged warehouse, whose file is then put back; ``test_bitrot``
    lets a run make one anew.
    """
    night.job.put_back()
    tried: list[tuple[str, bool]] = []
    if not at_length:
        tried += [(damage, _is_silent_with_damaged(night, damage)) for damage in DAMAGES]
    for where in ("lake", "warehouse", "work"):
        folder = night.job.settings.work_dir.with_name(where)
        with full_disk(folder):
            done = Command(night.job.settings, {}, "run", "-q").done()
        tried.append((f"disk full ({where})", not done.reports("No space left", str(folder))))
        _recovers(night, tried, tally, at_length)
    for megabytes in (20, 100, 300):
        tried.append(("little memory", _is_silent_with_little_memory(night, megabytes)))
        _recovers(night, tried, tally, at_length)
    with duckdb.connect(night.job.settings.duckdb_path):
        done = Command(night.job.settings, {}, "run", "-q").done()
    silent = not done.reports("is held by", str(os.getpid()))
    tried.append(("DuckDB file held by another", silent))
    _recovers(night, tried, tally)


def _recovers(night: Night, tried: list[tuple[str, bool]], tally: Tally, now: bool = True) -> None:
    """Run again, and compare with a run without faults: after the last of them, or after each.

    ``tried`` has each fault, and whether nothing told of it.
    """
    if now:
        counts, seconds = night.is_done()
        for fault, is_silent in tried:
            tally(fault, silent=int(is_silent), **counts, seconds=seconds)
        tried.clear()
        night.job.put_back()


def _is_silent_with_little_memory(night: Night, megabytes: int) -> bool:
    # what the process has when it begins, and so much more
    limited = partial(_no_memory_beyond, megabytes << 20)
    command = Command(night.job.settings, {}, "run", "-q", prepare=limited)
    # a new thread that has no memory for its first call leaves who began it to wait for ever:
    # https://github.com/python/cpython/issues/140746. The alert for a late run reports it
    if not command.ends_within(LATE_SECONDS):
        command.kill()
    done = command.done()
    # the C library may end a process in which no thread has room any more, by 127 or a signal,
    # before any word of ours; its exit code tells
    if done.code == 127:
        return "cannot allocate memory" not in done.stderr
    return done.code > 0 and not done.reports()


def _no_memory_beyond(more: int) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + more
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def test_a_warehouse_that_cannot_be_opened(night: Night, at_length: bool, tally: Tally) -> None:
    if not at_length:
        pytest.skip("tried among the runs that cannot go on")
    path = night.job.settings.duckdb_path
    night.job.put_back()
    for damage in DAMAGES:
        tried = [(damage, _is_silent_with_damaged(night, damage))]
        # the lake alone makes it anew
        path.unlink()
        path.with_name(f"{path.name}.wal").unlink(missing_ok=True)
        _recovers(night, tried, tally)


def _is_silent_with_damaged(night: Night, damage: str) -> bool:
    """Whether a run says nothing of the warehouse's file when it is damaged; then it is whole."""
    path = night.job.settings.duckdb_path
    whole = path.read_bytes()
    if damage == "DuckDB file cut short":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "DuckDB file no database":
        path.write_bytes(b"PAR1" * 4096)
    else:
        # the version of the storage is the number behind the magic bytes
        place = whole.index(b"DUCK") + 4
        path.write_bytes(whole[:place] + (9999).to_bytes(8, "little") + whole[place + 8 :])
    done = Command(night.job.settings, {}, "run", "-q").done()
    path.write_bytes(whole)
    return not done.reports(str(path))


def test_many_runs_at_once(night: Night, at_length: bool, tmp_path: Path, tally: Tally) -> None:
    """In the short version, in a home that cannot be written."""
    night.job.put_back()
    many = MANY if at_length else 3
    home: AbstractContextManager[dict[str, str]] = nullcontext({})
    if not at_length:
        home = read_only_home(tmp_path / "home")
    with home as places:
        commands = [Command(night.job.settings, places, "run", "-q") for _ in range(many)]
        ended = [command.done() for command in commands]
    assert 0 in [done.code for done in ended]
    silent = sum(not (done.code == 0 or done.reports("Another run")) for done in ended)
    counts, seconds = night.is_done()
    tally("several runs at once", times=many, silent=silent, **counts, seconds=seconds)
    if places:
        tally("home read-only", **counts, seconds=seconds)


def test_a_home_that_cannot_be_written(
    night: Night, at_length: bool, tmp_path: Path, tally: Tally
) -> None:
    if not at_length:
        pytest.skip("tried with several runs at once")
    night.job.put_back()
    with read_only_home(tmp_path / "home") as places:
        if not places:
            pytest.skip("only root may mount a folder that nobody can write")
        done = Command(night.job.settings, places, "run", "-q").done()
    assert done.code == 0, done.stderr
    counts, seconds = night.is_done()
    tally("home read-only", **counts, seconds=seconds)


@contextmanager
def read_only_home(home: Path) -> Iterator[dict[str, str]]:
    """The variables of a home that cannot be written; none where it cannot be mounted."""
    home.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", home], check=False).returncode:
        yield {}
        return
    try:
        yield dict.fromkeys(("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"), str(home))
    finally:
        subprocess.run(["umount", home], check=True)
