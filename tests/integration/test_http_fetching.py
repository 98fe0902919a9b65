"""Downloads from a web server, which survive what networks do."""

import hashlib
import os
import subprocess
import sys
from datetime import date
from itertools import repeat
from pathlib import Path

import pytest

from ingestion.errors import FetchError
from ingestion.settings import Settings
from ingestion.sources.base import PublishedFile
from ingestion.sources.files import kind
from ingestion.sources.files.download import CHUNK_BYTES, fetch
from tests.conftest import MakeSettings
from tests.support import processes
from tests.support.publishing import published_files
from tests.support.web import MODIFIED, Break, Drip, Stall, Status, Web

JANUARY = date(2024, 1, 1)
PATH = "trip-data/green_tripdata_2024-01.parquet"
BODY = os.urandom(CHUNK_BYTES * 3 + 12_345)


@pytest.fixture
def settings(web: Web, make_settings: MakeSettings) -> Settings:
    return make_settings(tlc_url=web.url, report_url=f"{web.url}/report.csv")


@pytest.fixture
def file(web: Web, settings: Settings) -> PublishedFile:
    """One published month of several chunks, as its HEAD says."""
    web.publish(PATH, BODY)
    (found,) = published_files(settings, ["green"], JANUARY, JANUARY)
    return found


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def test_a_download_is_whole_and_hashed(web: Web, settings: Settings, file: PublishedFile) -> None:
    told: list[int] = []
    fetched = fetch(file, settings.spool_dir, told.append)
    assert sha256(fetched.path.read_bytes()) == sha256(BODY)
    assert fetched.sha256 == sha256(BODY)
    assert fetched.bytes == sum(told) == len(BODY)
    assert (fetched.etag, fetched.last_modified) == (file.etag, MODIFIED)
    assert [p.name for p in settings.spool_dir.iterdir()] == [fetched.path.name]
    assert len(web.asked("GET")) == 1


def test_a_broken_download_goes_on_where_it_stopped(
    web: Web, settings: Settings, file: PublishedFile
) -> None:
    breaks = [Break(2 * CHUNK_BYTES + 10, clean=True), Break(CHUNK_BYTES // 2, clean=True)]
    web.fail("GET", PATH, breaks)
    fetched = fetch(file, settings.spool_dir)
    assert fetched.sha256 == sha256(BODY)
    first, *rest = web.asked("GET", PATH)
    assert "Range" not in first.headers
    assert len(rest) == 2
    starts = [int(r.headers["Range"].removeprefix("bytes=").removesuffix("-")) for r in rest]
    assert 2 * CHUNK_BYTES <= starts[0] <= starts[1] <= 2.5 * CHUNK_BYTES + 10
    assert {r.headers["If-Range"] for r in rest} == {file.etag}


def test_a_connection_that_is_reset_costs_no_byte(
    web: Web, settings: Settings, file: PublishedFile
) -> None:
    # what had come and was not read yet is lost with the connection: where it goes on may vary
    web.fail("GET", PATH, [Break(2 * CHUNK_BYTES + 10), Break(10), Break(CHUNK_BYTES)])
    assert fetch(file, settings.spool_dir).sha256 == sha256(BODY)
    assert len(web.asked("GET", PATH)) == 4


def test_a_download_begins_anew_when_the_file_changed_meanwhile(
    web: Web, settings: Settings, file: PublishedFile
) -> None:
    after = os.urandom(2 * CHUNK_BYTES)
    web.fail("GET", PATH, [Break(CHUNK_BYTES + 10, clean=True)])
    fetched = fetch(
        file, settings.spool_dir, lambda _: web.publish(PATH, after, etag='"after"') and None
    )
    assert fetched.sha256 == sha256(after)
    assert fetched.etag == '"after"'
    assert web.asked("GET", PATH)[1].headers["If-Range"] == file.etag


def test_a_server_without_ranges_is_asked_for_the_whole_again(
    web: Web, settings: Settings, file: PublishedFile
) -> None:
    web.ranges = False
    web.fail("GET", PATH, [Break(CHUNK_BYTES + 10)])
    assert fetch(file, settings.spool_dir).sha256 == sha256(BODY)
    assert len(web.asked("GET", PATH)) == 2


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_what_cannot_be_told_apart_is_never_put_together(
    etag: str | None, web: Web, settings: Settings
) -> None:
    web.publish(PATH, BODY, etag=etag)
    (file,) = published_files(settings, ["green"], JANUARY, JANUARY)
    web.fail("GET", PATH, [Break(CHUNK_BYTES + 10)])
    assert fetch(file, settings.spool_dir).sha256 == sha256(BODY)
    assert all("Range" not in r.headers for r in web.asked("GET", PATH))


@pytest.mark.parametrize("clean", [False, True], ids=["reset", "closed-short"])
def test_a_connection_that_always_breaks_is_a_fault(
    clean: bool, web: Web, settings: Settings, file: PublishedFile
) -> None:
    web.fail("GET", PATH, repeat(Break(0, clean)))
    with pytest.raises(FetchError, match=f"green 2024-01: cannot download {file.url}: .*again"):
        fetch(file, settings.spool_dir)


@pytest.mark.parametrize("status", [400, 500])
def test_a_server_that_refuses_the_file_is_a_fault(
    status: int, web: Web, settings: Settings, file: PublishedFile
) -> None:
    web.fail("GET", PATH, repeat(Status(status)))
    with pytest.raises(FetchError, match=f"cannot download {file.url}: {status} "):
        fetch(file, settings.spool_dir)


@pytest.mark.parametrize("status", [403, 404])
def test_a_file_that_goes_after_its_head_is_a_fault(
    status: int, web: Web, settings: Settings, file: PublishedFile
) -> None:
    web.fail("GET", PATH, repeat(Status(status)))
    with pytest.raises(FetchError, match=f"{file.url} was published and is gone; run again"):
        fetch(file, settings.spool_dir)
    assert len(web.asked("GET", PATH)) == 1


def test_a_range_that_cannot_be_satisfied_is_not_asked_for_twice(
    web: Web, settings: Settings, file: PublishedFile
) -> None:
    web.fail("GET", PATH, [Break(CHUNK_BYTES + 10, clean=True), Status(416)])
    assert fetch(file, settings.spool_dir).sha256 == sha256(BODY)
    assert ["Range" in r.headers for r in web.asked("GET", PATH)] == [False, True, False]


def test_a_server_that_satisfies_no_request_is_a_fault(
    web: Web, settings: Settings, file: PublishedFile
) -> None:
    web.fail("GET", PATH, repeat(Status(416)))
    with pytest.raises(FetchError, match=f"cannot download {file.url}: 416 "):
        fetch(file, settings.spool_dir)


def test_a_download_that_a_killed_run_left_is_continued(
    web: Web, settings: Settings, file: PublishedFile
) -> None:
    web.fail("GET", PATH, [Stall(2 * CHUNK_BYTES)])
    process = processes.start(fetch, file, settings.spool_dir)

    def size() -> int:
        return sum(p.stat().st_size for p in settings.spool_dir.glob("*.part"))

    processes.wait_until(lambda: settings.spool_dir.exists() and size() == 2 * CHUNK_BYTES)
    processes.kill(process)
    web.released.set()
    told: list[int] = []
    fetched = fetch(file, settings.spool_dir, told.append)
    assert fetched.sha256 == sha256(BODY)
    assert sum(told) == len(BODY) - 2 * CHUNK_BYTES
    assert web.asked("GET", PATH)[1].headers["Range"] == f"bytes={2 * CHUNK_BYTES}-"
    assert [p.name for p in settings.spool_dir.iterdir()] == [fetched.path.name]


def test_the_partial_download_of_another_version_is_left_alone(
    web: Web, settings: Settings, file: PublishedFile
) -> None:
    web.fail("GET", PATH, repeat(Break(CHUNK_BYTES)))
    with pytest.raises(FetchError):
        fetch(file, settings.spool_dir)
    web.faults.clear()
    after = os.urandom(CHUNK_BYTES)
    web.publish(PATH, after)
    (changed,) = published_files(settings, ["green"], JANUARY, JANUARY)
    assert fetch(changed, settings.spool_dir).sha256 == sha256(after)
    assert "Range" not in web.asked("GET", PATH)[-1].headers


def _impatient(file: PublishedFile, spool: Path, done: object) -> None:
    os.environ["RUNTIME__REQUEST_TIMEOUT"] = "0.3"
    assert fetch(file, spool).sha256 == sha256_of_file(spool)
    done.set()


def sha256_of_file(spool: Path) -> str:
    (part,) = spool.glob("*.part")
    return sha256(part.read_bytes())


def test_a_connection_that_falls_silent_is_given_up_and_taken_up_again(
    web: Web, settings: Settings, file: PublishedFile
) -> None:
    web.fail("GET", PATH, [Stall(CHUNK_BYTES + 10), Stall(10)])
    done = processes.event()
    process = processes.start(_impatient, file, settings.spool_dir, done)
    process.join(processes.PATIENCE_SECONDS)
    assert done.is_set()
    assert sha256_of_file(settings.spool_dir) == sha256(BODY)
    assert "Range" in web.asked("GET", PATH)[1].headers


def test_a_server_that_drips_is_given_up_and_what_came_is_kept(
    web: Web, settings: Settings, file: PublishedFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    hasty = settings.model_copy(update={"least_download_rate": 10**9})
    (publisher,) = hasty.publishers(["green"])
    monkeypatch.setenv("RUNTIME__REQUEST_TIMEOUT", "0.1")
    web.fail("GET", PATH, repeat(Drip(pieces=400, pause=0.02)))  # each piece is in time
    words = r"too slow: .* MEDALLION_LEAST_DOWNLOAD_RATE asks for 1,000,000,000 a second"
    with pytest.raises(FetchError, match=words):
        kind.fetch(publisher, file, settings.spool_dir)
    starts = [int(r.headers["Range"].strip("bytes=-")) for r in web.asked("GET", PATH)[1:]]
    assert starts == sorted(set(starts))  # each attempt goes on after the one before it
    web.faults.clear()
    assert fetch(file, settings.spool_dir).sha256 == sha256(BODY)
    assert "Range" in web.asked("GET", PATH)[-1].headers


@pytest.mark.parametrize("rate", [0, 10_000])
def test_a_slow_server_is_waited_for(
    web: Web, settings: Settings, file: PublishedFile, rate: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (publisher,) = settings.model_copy(update={"least_download_rate": rate}).publishers(["green"])
    monkeypatch.setenv("RUNTIME__REQUEST_TIMEOUT", "0.1")
    web.fail("GET", PATH, [Drip(pieces=20, pause=0.02)])
    assert kind.fetch(publisher, file, settings.spool_dir).sha256 == sha256(BODY)
    assert len(web.asked("GET", PATH)) == 1


BIG = 256 << 20

MEASURED = """
import sys
from pathlib import Path
from ingestion.sources.files.download import fetch
from ingestion.sources.base import PublishedFile

url, size, spool = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
fetched = fetch(PublishedFile("green", None, url, None, None, size), spool)
assert fetched.bytes == size
# of this process only: getrusage() also counts what it was forked from
status = Path("/proc/self/status")
if status.exists():
    (peak,) = (l.split()[1] for l in status.read_text().splitlines() if l.startswith("VmHWM"))
    print(int(peak) * 1024)
else:
    import resource
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.parametrize("scheme", ["http", "file"])
def test_a_large_file_is_fetched_in_little_memory(
    scheme: str, web: Web, settings: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "large.parquet"
    with path.open("wb") as sparse:
        sparse.truncate(BIG)
    url = web.publish("large.parquet", path) if scheme == "http" else path.as_uri()
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, url, str(BIG), str(settings.spool_dir)],
        check=True,
        capture_output=True,
        text=True,
    )
    assert int(done.stdout) < 200 << 20
    (part,) = settings.spool_dir.glob("*.part")
    assert part.stat().st_size == BIG
    part.unlink()
