"""A folder as publisher: what is listed, and how it is fetched."""

import hashlib
import os
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from ingestion.errors import FetchError, UsageError
from ingestion.settings import Settings
from ingestion.sources.files.download import fetch
from ingestion.sources.files.publisher import months_between
from tests.support.publishing import published_files
from tests.support.trips import publish

MakeSettings = Callable[..., Settings]


def names(settings: Settings, *args: object, **options: object) -> list[str]:
    return [file.name for file in published_files(settings, *args, **options)]


@pytest.fixture
def folder(published: Path) -> Path:
    """A folder with months of three datasets and the reference files."""
    for dataset, months in {"green": (1, 2, 11), "yellow": (2, 3), "fhv": (1,)}.items():
        for month in months:
            publish(published, dataset, date(2024, month, 1), f"{dataset} {month}".encode())
    publish(published, "taxi_zone_lookup", None, b"zones")
    publish(published, "tlc_monthly_report", None, b"report")
    return published


def test_a_folder_gives_every_file_there_is(folder: Path, make_settings: MakeSettings) -> None:
    assert names(make_settings()) == [
        "yellow 2024-02",
        "yellow 2024-03",
        "green 2024-01",
        "green 2024-02",
        "green 2024-11",
        "fhv 2024-01",
        "taxi_zone_lookup",
        "tlc_monthly_report",
    ]


def test_a_file_is_known_by_its_date_and_size(folder: Path, make_settings: MakeSettings) -> None:
    path = folder / "trip-data" / "green_tripdata_2024-01.parquet"
    os.utime(path, ns=(0, 1_700_000_000_000_000_001))
    (before, *_) = published_files(make_settings(), ["green"])
    assert before.url == path.as_uri()
    assert before.bytes == len(b"green 1")
    assert before.last_modified == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert published_files(make_settings(), ["green"])[0] == before
    os.utime(path, ns=(0, 1_700_000_000_000_000_002))
    assert published_files(make_settings(), ["green"])[0].etag != before.etag


@pytest.mark.parametrize(
    ("start", "end", "months"),
    [
        (None, None, ["2024-01", "2024-02", "2024-11"]),
        (date(2024, 2, 1), None, ["2024-02", "2024-11"]),
        (None, date(2024, 2, 1), ["2024-01", "2024-02"]),
        (date(2024, 2, 1), date(2024, 2, 1), ["2024-02"]),
        (date(2024, 3, 1), date(2024, 10, 1), []),
    ],
)
def test_months_may_be_narrowed_at_both_ends(
    start: date | None,
    end: date | None,
    months: list[str],
    folder: Path,
    make_settings: MakeSettings,
) -> None:
    found = names(make_settings(), ["green"], start, end)
    assert found == [
        *(f"green {month}" for month in months),
        "taxi_zone_lookup",
        "tlc_monthly_report",
    ]


def test_reference_files_come_with_trips_and_may_be_asked_for_alone(
    folder: Path, make_settings: MakeSettings
) -> None:
    assert names(make_settings(), ["taxi_zone_lookup"]) == ["taxi_zone_lookup"]
    assert names(make_settings(), ["fhv"]) == [
        "fhv 2024-01",
        "taxi_zone_lookup",
        "tlc_monthly_report",
    ]


def test_what_tlc_does_not_publish_is_ignored(folder: Path, make_settings: MakeSettings) -> None:
    before = names(make_settings())
    trip_data = folder / "trip-data"
    for name in (
        "green_tripdata_2024-13.parquet",
        "green_tripdata_2024-00.parquet",
        "green_tripdata_2024-1.parquet",
        "green_tripdata_2024-01.parquet.part",
        "old_green_tripdata_2024-01.parquet",
        "Green_tripdata_2024-04.parquet",
        "green_tripdata_2024-05.csv.zip",
        "green_tripdataX2024-05.parquet",
        "blue_tripdata_2024-01.parquet",
        ".green_tripdata_2024-01.parquet",
        "readme.txt",
    ):
        (trip_data / name).write_bytes(b"x")
    (trip_data / "green_tripdata_2024-06.parquet").mkdir()
    assert names(make_settings()) == before


def test_a_folder_without_trips_has_the_rest(published: Path, make_settings: MakeSettings) -> None:
    assert names(make_settings()) == []
    publish(published, "taxi_zone_lookup", None, b"zones")
    assert names(make_settings()) == ["taxi_zone_lookup"]


def test_a_missing_folder_is_the_users_to_mend(tmp_path: Path, make_settings: MakeSettings) -> None:
    for missing in (tmp_path / "nowhere", tmp_path / "a file"):
        (tmp_path / "a file").touch()
        with pytest.raises(UsageError, match="MEDALLION_TLC_URL: there is no folder") as fault:
            published_files(make_settings(tlc_url=missing.as_uri()))
        assert str(missing) in str(fault.value)


def test_folders_may_have_any_name(tmp_path: Path, make_settings: MakeSettings) -> None:
    folder = tmp_path / "TLC's 100% #1 [copy] ü"
    path = publish(folder, "green", date(2024, 1, 1), b"trips")
    (file,) = published_files(make_settings(tlc_url=folder.as_uri()))
    assert fetch(file, tmp_path / "spool").path.read_bytes() == path.read_bytes()


def test_a_fetch_copies_and_hashes(folder: Path, make_settings: MakeSettings) -> None:
    settings = make_settings()
    content = bytes(range(256)) * 10_000
    publish(folder, "green", date(2024, 1, 1), content)
    (file, *_) = published_files(settings, ["green"])
    told: list[int] = []
    fetched = fetch(file, settings.spool_dir, told.append)
    assert fetched.path.parent == settings.spool_dir
    assert fetched.sha256 == hashlib.sha256(content).hexdigest()
    assert hashlib.sha256(fetched.path.read_bytes()).hexdigest() == fetched.sha256
    assert fetched.bytes == sum(told) == len(content)
    assert (fetched.etag, fetched.last_modified) == (file.etag, file.last_modified)
    assert len(told) > 1


def test_a_file_that_is_replaced_after_it_was_listed_is_fetched_as_it_is(
    folder: Path, make_settings: MakeSettings
) -> None:
    settings = make_settings()
    (listed, *_) = published_files(settings, ["green"])
    publish(folder, "green", date(2024, 1, 1), b"another content")
    fetched = fetch(listed, settings.spool_dir)
    assert fetched.sha256 == hashlib.sha256(b"another content").hexdigest()
    assert fetched.etag == published_files(settings, ["green"])[0].etag != listed.etag


def test_a_file_that_goes_after_it_was_listed_is_a_fault_of_the_fetch(
    folder: Path, make_settings: MakeSettings
) -> None:
    settings = make_settings()
    (listed, *_) = published_files(settings, ["green"])
    (folder / "trip-data" / "green_tripdata_2024-01.parquet").unlink()
    with pytest.raises(FetchError, match=r"green 2024-01: .* was there and is gone; run again"):
        fetch(listed, settings.spool_dir)


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="a file that no one can read")
def test_a_file_that_cannot_be_read_is_a_fault_of_the_fetch(
    folder: Path, make_settings: MakeSettings
) -> None:
    settings = make_settings()
    unreadable = folder / "trip-data" / "green_tripdata_2024-01.parquet"
    unreadable.unlink()
    unreadable.symlink_to("/proc/self/mem")
    (listed, *_) = published_files(settings, ["green"])
    with pytest.raises(FetchError, match=r"green 2024-01: .*2024-01.parquet cannot be read: "):
        fetch(listed, settings.spool_dir)


def test_months_between() -> None:
    assert months_between(date(2023, 11, 15), date(2024, 2, 1)) == [
        date(2023, 11, 1),
        date(2023, 12, 1),
        date(2024, 1, 1),
        date(2024, 2, 1),
    ]
    assert months_between(date(2024, 2, 1), date(2024, 1, 31)) == []


def test_a_month_is_taken_in_the_best_of_its_formats(
    published: Path, make_settings: MakeSettings
) -> None:
    for month, formats in {
        date(2013, 8, 1): ("csv",),  # before the first month that there is as Parquet
        date(2019, 1, 1): ("csv.gz",),
        date(2019, 2, 1): ("csv", "csv.gz"),
        date(2019, 3, 1): ("csv", "csv.gz", "parquet"),
        date(2025, 1, 1): ("csv",),  # what others make of a month
    }.items():
        for file_format in formats:
            publish(published, "green", month, b"trips", file_format)
    found = published_files(make_settings(), ["green"])
    assert [(file.name, file.file_format) for file in found] == [
        ("green 2013-08", "csv"),
        ("green 2019-01", "csv.gz"),
        ("green 2019-02", "csv"),
        ("green 2019-03", "parquet"),
        ("green 2025-01", "csv"),
    ]
    assert [Path(file.url).suffix for file in found] == [".csv", ".gz", ".csv", ".parquet", ".csv"]
