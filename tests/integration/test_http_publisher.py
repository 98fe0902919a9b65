"""A web server as publisher: what is found by HEAD, and what that comes to."""

import os
import socket
from base64 import b64encode
from datetime import UTC, date, datetime
from itertools import repeat
from pathlib import Path

import pytest

from ingestion.errors import FetchError
from ingestion.settings import Settings
from ingestion.sources.base import PublishedFile
from ingestion.sources.files.download import fetch
from ingestion.sources.files.http import CONNECTIONS
from ingestion.sources.files.publisher import months_between
from tests.conftest import MakeSettings
from tests.support.publishing import asked_again, published_files
from tests.support.web import MODIFIED, Status, Web

JANUARY = date(2024, 1, 1)
FEBRUARY = date(2024, 2, 1)
PATH = "trip-data/green_tripdata_2024-01.parquet"
BODY = os.urandom(1000)


@pytest.fixture
def settings(web: Web, make_settings: MakeSettings) -> Settings:
    return make_settings(tlc_url=web.url, report_url=f"{web.url}/report.csv")


def green(month: date) -> str:
    return f"trip-data/green_tripdata_{month:%Y-%m}.parquet"


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
        references = 3
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


def test_one_address_that_does_not_answer_stops_no_other(web: Web, settings: Settings) -> None:
    web.publish(PATH, BODY)
    away = settings.model_copy(update={"report_url": "http://127.0.0.1:9/report.csv"})
    found = published_files(away, ["green"], JANUARY, JANUARY)
    assert [(f.dataset, f.error is None) for f in found] == [
        ("green", True),
        ("tlc_monthly_report", False),
    ]
    assert "Cannot reach http://127.0.0.1:9/report.csv" in str(found[1].error)


def test_a_file_that_could_not_be_asked_about_may_be_asked_about_again(
    web: Web, settings: Settings
) -> None:
    path = f"trip-data/green_tripdata_{JANUARY:%Y-%m}.parquet"
    web.publish(path, b"bytes")
    other = f"trip-data/green_tripdata_{FEBRUARY:%Y-%m}.parquet"
    web.publish(other, b"bytes")
    web.fail("HEAD", path, [Status(500)] * 3)
    (faulty,) = (f for f in published_files(settings, ["green"], JANUARY, FEBRUARY) if f.error)
    assert faulty.month == JANUARY
    again = asked_again(faulty)
    assert (again.error, again.bytes) == (None, 5)
    web.withdraw(path)
    assert asked_again(faulty) == faulty


def test_a_fault_never_lets_csv_pass_for_the_best_of_the_formats(
    web: Web, settings: Settings
) -> None:
    month = date(2019, 1, 1)
    web.publish(green(month).replace("parquet", "csv"), b"csv")
    web.publish("misc/taxi_zone_lookup.csv", b"zones")
    web.fail("HEAD", green(month), [Status(500)] * 3)
    (faulty,) = (f for f in published_files(settings, ["green"], month, month) if f.error)
    assert faulty.file_format == "parquet"
    # when the server answers again, there is no Parquet edition after all
    again = asked_again(faulty)
    assert (again.error, again.file_format) == (None, "csv")


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
