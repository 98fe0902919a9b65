"""A web server as publisher: what is found by HEAD, and downloads that survive what networks do."""

import hashlib
import os
import socket
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, date, datetime
from itertools import repeat
from pathlib import Path

import pytest

from ingestion.errors import FetchError
from ingestion.fetching import CHUNK_BYTES, fetch
from ingestion.publisher import PublishedFile, asked_again, months_between, published_files
from ingestion.settings import Settings
from ingestion.web import CONNECTIONS
from tests.support import processes
from tests.support.web import MODIFIED, Break, Stall, Status, Web

MakeSettings = Callable[..., Settings]

JANUARY = date(2024, 1, 1)
FEBRUARY = date(2024, 2, 1)
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


def green(month: date) -> str:
    return f"trip-data/green_tripdata_{month:%Y-%m}.parquet"


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


# --- what is published ---------------------------------------------------------------------------


def test_a_head_says_what_a_file_is(web: Web, settings: Settings) -> None:
    url = web.publish(PATH, BODY, etag='"abc"')
    assert published_files(settings, ["green"], JANUARY, JANUARY) == [
        PublishedFile("green", JANUARY, url, '"abc"', MODIFIED, len(BODY))
    ]
    assert web.asked("GET") == []


def test_a_server_that_says_little_is_believed(web: Web, settings: Settings) -> None:
    web.publish(PATH, BODY, etag=None, last_modified=None)
    (file,) = published_files(settings, ["green"], JANUARY, JANUARY)
    assert (file.etag, file.last_modified, file.bytes) == (None, None, len(BODY))


@pytest.mark.parametrize("nonsense", ["yesterday", "0", "Fri, 99 Nov 2024 12:00:00 GMT", ""])
def test_a_date_that_is_none_is_none(nonsense: str, web: Web, settings: Settings) -> None:
    web.publish(PATH, BODY, last_modified=nonsense)
    (file,) = published_files(settings, ["green"], JANUARY, JANUARY)
    assert file.last_modified is None
    assert fetch(file, settings.spool_dir).last_modified is None


@pytest.mark.parametrize("status", [403, 404])
def test_what_is_not_there_is_not_published(status: int, web: Web, settings: Settings) -> None:
    web.publish(green(date(2024, 2, 1)), b"february")
    web.fail("HEAD", PATH, repeat(Status(status)))
    found = published_files(settings, ["green"], JANUARY, date(2024, 3, 1))
    assert [f.name for f in found] == ["green 2024-02"]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_in_trouble_is_asked_again(status: int, web: Web, settings: Settings) -> None:
    web.publish(PATH, BODY)
    web.fail("HEAD", PATH, [Status(status)] * 2)
    assert [f.name for f in published_files(settings, ["green"], JANUARY, JANUARY)] == [
        "green 2024-01"
    ]
    assert len(web.asked("HEAD", PATH)) == 3


@pytest.mark.parametrize("status", [401, 500, 503])
def test_a_server_that_stays_in_trouble_is_a_fault(
    status: int, web: Web, settings: Settings
) -> None:
    url = web.publish(PATH, BODY)
    web.fail("HEAD", PATH, repeat(Status(status)))
    with pytest.raises(FetchError, match=f"Cannot reach {url}: {status} ") as fault:
        published_files(settings, ["green"], JANUARY, JANUARY)
    assert "Check the address and the network" in str(fault.value)


def test_a_server_that_is_not_there_is_a_fault(make_settings: MakeSettings) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # bound, and not listening: nobody else can take the port
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        settings = make_settings(tlc_url=url, report_url=f"{url}/report.csv")
        with pytest.raises(FetchError, match=f"Cannot reach {url}/.*refused"):
            published_files(settings)


def test_without_months_it_is_the_last_three_of_yellow_and_green(
    web: Web, settings: Settings
) -> None:
    months = months_between(date(2000, 1, 1), datetime.now(UTC).date())
    for month in months[-10:-2]:
        web.publish(green(month), b"green")
    for month in months[-12:-4]:
        web.publish(f"trip-data/yellow_tripdata_{month:%Y-%m}.parquet", b"yellow")
        web.publish(f"trip-data/fhv_tripdata_{month:%Y-%m}.parquet", b"fhv")
    web.publish("misc/taxi_zone_lookup.csv", b"zones")
    web.publish("report.csv", b"report")
    assert [(f.dataset, f.month) for f in published_files(settings)] == [
        *(("yellow", month) for month in months[-7:-4]),
        *(("green", month) for month in months[-5:-2]),
        ("taxi_zone_lookup", None),
        ("tlc_monthly_report", None),
    ]
    assert [f.month for f in published_files(settings, ["fhv"]) if f.month] == months[-7:-4]


def test_without_a_start_an_end_has_three_months_before_it(web: Web, settings: Settings) -> None:
    for month in months_between(date(2023, 1, 1), date(2024, 6, 1)):
        web.publish(green(month), b"green")
    found = published_files(settings, ["green"], end=date(2023, 9, 1))
    assert [f.name for f in found] == ["green 2023-07", "green 2023-08", "green 2023-09"]


def test_a_publisher_long_silent_still_has_its_last_three(web: Web, settings: Settings) -> None:
    for month in ("2023-01", "2023-05", "2023-06"):
        web.publish(green(date.fromisoformat(f"{month}-01")), b"green")
    found = published_files(settings, ["green"], end=date(2024, 2, 1))
    assert [f.name for f in found] == ["green 2023-01", "green 2023-05", "green 2023-06"]


@pytest.mark.parametrize("dataset", ["green", "fhvhv"])
def test_a_server_that_has_no_month_of_a_dataset_is_a_fault(
    dataset: str, web: Web, settings: Settings
) -> None:
    today = datetime.now(UTC).date()
    web.publish("misc/taxi_zone_lookup.csv", b"zones")
    web.publish(f"trip-data/yellow_tripdata_{today:%Y-%m}.parquet", b"yellow")
    url = f"{web.url}/trip-data/{dataset}_tripdata_{today:%Y-%m}.parquet"
    with pytest.raises(FetchError, match=f"Nothing of {dataset} is .*{url}.*MEDALLION_TLC_URL"):
        published_files(settings, ["yellow", dataset])
    assert [f.dataset for f in published_files(settings, ["yellow"])] == [
        "yellow",
        "taxi_zone_lookup",
    ]


def test_months_that_are_named_need_not_be_there(web: Web, settings: Settings) -> None:
    assert published_files(settings, ["green"], JANUARY, FEBRUARY) == []
    assert published_files(settings, ["green"], end=FEBRUARY) == []


def test_months_before_the_first_are_not_asked_for(web: Web, settings: Settings) -> None:
    published_files(settings, ["fhvhv"], start=date(2018, 1, 1), end=date(2019, 3, 1))
    asked = sorted(r.path for r in web.asked("HEAD") if "fhvhv" in r.path)
    assert asked == [
        f"trip-data/fhvhv_tripdata_{month}.{file_format}"
        for month in ("2019-02", "2019-03")
        for file_format in ("csv", "csv.gz", "parquet")
    ]


def test_a_month_is_asked_for_as_csv_only_where_there_is_no_parquet(
    web: Web, settings: Settings
) -> None:
    old, older, oldest = date(2022, 4, 1), date(2020, 1, 1), date(2013, 8, 1)
    web.publish(green(old), b"parquet")
    web.publish(green(older).replace("parquet", "csv.gz"), b"gzip")
    web.publish(green(oldest).replace("parquet", "csv"), b"csv")
    for month, file_format, heads in (
        (old, "parquet", 1),
        (older, "csv.gz", 3),
        (oldest, "csv", 1),
    ):
        before = len(web.asked("HEAD"))
        (found, *_) = published_files(settings, ["green"], month, month)
        assert (found.month, found.file_format) == (month, file_format)
        references = 2
        assert len(web.asked("HEAD")) - before == heads + references


def test_what_was_never_published_as_csv_is_not_asked_for_as_csv(
    web: Web, settings: Settings
) -> None:
    with pytest.raises(FetchError):
        published_files(settings)
    published_files(settings, ["green"], start=date(2022, 5, 1))
    assert {r.path.rpartition(".")[2] for r in web.asked("HEAD") if "tripdata" in r.path} == {
        "parquet"
    }


def test_no_more_than_eight_are_asked_at_a_time(web: Web, settings: Settings) -> None:
    web.wait_for_more_than = CONNECTIONS
    published_files(settings, ["green"], date(2022, 1, 1), date(2023, 6, 1))
    assert web.most_at_once == CONNECTIONS == 8


# --- fetching ------------------------------------------------------------------------------------


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


BIG = 256 << 20

MEASURED = """
import sys
from pathlib import Path
from ingestion.fetching import fetch
from ingestion.publisher import PublishedFile

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


def test_one_address_that_does_not_answer_stops_no_other(web: Web, settings: Settings) -> None:
    web.publish(PATH, BODY)
    away = settings.model_copy(update={"report_url": "http://127.0.0.1:9/report.csv"})
    found = published_files(away, ["green"], JANUARY, JANUARY)
    assert [(f.dataset, f.fault is None) for f in found] == [
        ("green", True),
        ("tlc_monthly_report", False),
    ]
    assert "Cannot reach http://127.0.0.1:9/report.csv" in str(found[1].fault)


def test_a_file_that_could_not_be_asked_about_may_be_asked_about_again(
    web: Web, settings: Settings
) -> None:
    path = f"trip-data/green_tripdata_{JANUARY:%Y-%m}.parquet"
    web.publish(path, b"bytes")
    other = f"trip-data/green_tripdata_{FEBRUARY:%Y-%m}.parquet"
    web.publish(other, b"bytes")
    web.fail("HEAD", path, [Status(500)] * 3)
    (faulty,) = (f for f in published_files(settings, ["green"], JANUARY, FEBRUARY) if f.fault)
    assert faulty.month == JANUARY
    again = asked_again(faulty)
    assert (again.fault, again.bytes) == (None, 5)
    web.withdraw(path)
    assert asked_again(faulty) == faulty


def test_a_fault_never_lets_csv_pass_for_the_best_of_the_formats(
    web: Web, settings: Settings
) -> None:
    month = date(2019, 1, 1)
    web.publish(green(month).replace("parquet", "csv"), b"csv")
    web.publish("misc/taxi_zone_lookup.csv", b"zones")
    web.fail("HEAD", green(month), [Status(500)] * 3)
    (faulty,) = (f for f in published_files(settings, ["green"], month, month) if f.fault)
    assert faulty.file_format == "parquet"
    # when the server answers again, there is no Parquet edition after all
    again = asked_again(faulty)
    assert (again.fault, again.file_format) == (None, "csv")


def test_a_mirror_that_asks_who_we_are_is_told_what_netrc_says(
    web: Web, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login someone password hunter2\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    web.publish(PATH, BODY)
    (found,) = published_files(settings, ["green"], JANUARY, JANUARY)
    fetch(found, tmp_path / "spool")
    known = [r.headers.get("Authorization") for r in web.requests if r.path == PATH]
    assert known == [f"Basic {b64encode(b'someone:hunter2').decode()}"] * 2
    assert "hunter2" not in repr(found)
