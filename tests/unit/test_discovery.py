"""What is meant and not published: each is named, with what to do, and nothing else is missed."""

import os
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from ingestion.errors import MedallionError, UsageError
from ingestion.land import Outcome, land
from ingestion.progress import Lines
from ingestion.published import published_now as discover
from ingestion.settings import Settings
from ingestion.sources.base import PublishedFile
from ingestion.sources.files.publisher import months_between
from tests.support import processes
from tests.support.publishing import asked_again
from tests.support.trips import ZONES, publish, trips
from tests.support.web import Web

MakeSettings = Callable[..., Settings]
MONTHS = [date(2024, month, 1) for month in (1, 2, 3, 4)]
JANUARY, FEBRUARY, MARCH, APRIL = MONTHS


@pytest.fixture
def folder(published: Path) -> Path:
    """January, February and April of green, January and February of yellow, and the zones."""
    for dataset, months in {"green": (1, 2, 4), "yellow": (1, 2)}.items():
        for month in months:
            publish(published, dataset, date(2024, month, 1), b"trips")
    publish(published, "taxi_zone_lookup", None, ZONES)
    return published


@pytest.fixture
def settings(folder: Path, make_settings: MakeSettings) -> Settings:
    return make_settings()


def missing(found: list[PublishedFile]) -> dict[str, str]:
    """What is meant and not there, and why."""
    return {f.name: str(f.error) for f in found if f.is_missing}


# --- what is named -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("datasets", "start", "end", "names"),
    [
        ([], None, None, []),  # nobody named a month: March is not missed
        (["green"], JANUARY, FEBRUARY, []),
        (["green"], MARCH, MARCH, ["green 2024-03"]),
        (["green"], JANUARY, APRIL, ["green 2024-03"]),
        (["green"], JANUARY, None, ["green 2024-03"]),  # between two that are there
        (["green"], date(2024, 5, 1), None, ["green"]),
        (["green"], None, date(2023, 1, 1), ["green"]),
        (["green", "fhv"], None, None, ["fhv"]),
        (["green", "fhv"], JANUARY, JANUARY, ["fhv 2024-01"]),
        (["fhv", "fhvhv"], JANUARY, APRIL, ["fhv", "fhvhv"]),
        (["tlc_monthly_report"], None, None, ["tlc_monthly_report"]),
        (["taxi_zone_lookup"], None, None, []),
        # without a dataset: of those that are there
        ([], JANUARY, JANUARY, []),
        ([], JANUARY, MARCH, ["yellow 2024-03", "green 2024-03"]),
        ([], APRIL, APRIL, []),  # which green has
    ],
)
def test_what_is_named_and_not_published_has_its_fault(
    datasets: list[str],
    start: date | None,
    end: date | None,
    names: list[str],
    settings: Settings,
) -> None:
    assert list(missing(discover(settings, datasets, start, end))) == names


def test_what_is_missing_is_named_with_its_address_and_the_rest_goes_on(
    folder: Path, settings: Settings
) -> None:
    publish(folder, "green", JANUARY, trips("green", JANUARY))
    publish(folder, "green", FEBRUARY, trips("green", FEBRUARY))
    report = land(settings, ["green"], JANUARY, MARCH)
    assert [f.published.name for f in report.of(Outcome.NEW)] == [
        "green 2024-01",
        "green 2024-02",
        "taxi_zone_lookup",
    ]
    (failed,) = report.of(Outcome.FAILED)
    expected = (folder / "trip-data" / "green_tripdata_2024-03.parquet").as_uri()
    assert failed.published.name == "green 2024-03"
    assert failed.error == f"it is not published: there is no {expected}."


def test_what_is_there_by_now_is_no_longer_missing(folder: Path, settings: Settings) -> None:
    (gone,) = (f for f in discover(settings, ["green"], MARCH, MARCH) if f.is_missing)
    assert asked_again(gone) == gone
    publish(folder, "green", MARCH, b"trips")
    assert asked_again(gone).error is None
    (nothing,) = (f for f in discover(settings, ["fhv"]) if f.is_missing)
    assert asked_again(nothing) == nothing


def test_months_of_which_no_dataset_has_one_are_a_fault(settings: Settings) -> None:
    with pytest.raises(MedallionError, match=r"Nothing is published at .* of 2024-03") as fault:
        discover(settings, [], MARCH, MARCH)
    assert fault.value.exit_code == 1


def test_months_before_the_first_are_said_to_be_so(settings: Settings) -> None:
    found = missing(discover(settings, ["fhvhv"], date(2018, 1, 1), date(2018, 1, 1)))
    assert "the first month that TLC published of it is 2019-02" in found["fhvhv 2018-01"]


def test_a_server_is_missing_what_is_named_and_due(web: Web, make_settings: MakeSettings) -> None:
    settings = make_settings(tlc_url=web.url, report_url=f"{web.url}/report.csv")
    this_month = datetime.now(UTC).date().replace(day=1)
    months = months_between(date(2024, 1, 1), this_month)
    for month in (*months[:1], *months[2:-2]):
        web.publish(f"trip-data/green_tripdata_{month:%Y-%m}.parquet", b"green")
    said: list[str] = []
    found = missing(discover(settings, ["green"], months[0], this_month, Lines(said.append)))
    url = f"{web.url}/trip-data/green_tripdata_2024-02.parquet"
    assert found == {"green 2024-02": f"it is not published: there is no {url}."}
    assert said == [f"green {month:%Y-%m} is not published yet" for month in months[-2:]]
    # where the end is open nothing is to be there yet
    said.clear()
    assert list(missing(discover(settings, [], months[2], None, Lines(said.append)))) == []
    assert said == []
    # what is named alone is meant
    assert list(missing(discover(settings, ["green"], this_month, this_month))) == [
        f"green {this_month:%Y-%m}"
    ]


def test_months_that_tlc_took_back_with_its_csv_are_not_missed(
    web: Web, make_settings: MakeSettings
) -> None:
    settings = make_settings(tlc_url=web.url, report_url=f"{web.url}/report.csv")
    for month in months_between(date(2014, 1, 1), date(2014, 3, 1)):
        web.publish(f"trip-data/green_tripdata_{month:%Y-%m}.parquet", b"green")
    assert missing(discover(settings, ["green"], date(2013, 8, 1), date(2014, 3, 1))) == {}


# --- what looks like a month ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("trip-data/Green_tripdata_2024-03.PARQUET", "call it trip-data/{march}"),
        ("trip-data/green_tripdata_2024-03.CSV.GZ", "call it trip-data/{csv_gz}"),
        ("trip-data/green_tripdata_2024-03 (1).parquet", "call it trip-data/{march}"),
        ("trip-data/Copy of green_tripdata_2024-03.parquet", "call it trip-data/{march}"),
        ("trip-data/green-tripdata-2024-03.parquet", "call it trip-data/{march}"),
        ("trip-data/green_tripdata_2024-3.parquet", "call it trip-data/{march}"),
        ("trip-data/green_tripdata_202403.csv", "call it trip-data/{csv}"),
        ("trip-data/green_tripdata_2024-03", "call it trip-data/{march}"),
        ("trip-data/green_tripdata_2024-03.parquet.gz", "unpack it as trip-data/{march}"),
        ("trip-data/green_tripdata_2024-03.csv.zip", "unpack it as trip-data/{csv}"),
        ("trip-data/green_tripdata_2024-03.parquet.crdownload", "has not ended"),
        ("trip-data/green_tripdata_2024-03.parquet.part", "has not ended"),
        ("green_tripdata_2024-03.parquet", "does not lie directly in trip-data/"),
        ("Trip-Data/green_tripdata_2024-03.parquet", "does not lie directly in trip-data/"),
        ("trip_data/green_tripdata_2024-03.parquet", "does not lie directly in trip-data/"),
        ("trip-data/2024/green_tripdata_2024-03.csv", "does not lie directly in trip-data/"),
        (
            "trip-data/green/year=2024/green_tripdata_2024-03.parquet",
            "does not lie directly in trip-data/",
        ),
    ],
)
def test_a_file_that_looks_like_a_month_is_named_with_what_to_do(
    name: str, words: str, folder: Path, settings: Settings
) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"trips")
    march = "green_tripdata_2024-03"
    said = words.format(march=f"{march}.parquet", csv=f"{march}.csv", csv_gz=f"{march}.csv.gz")
    found = missing(discover(settings))
    assert list(found) == ["green 2024-03"]
    assert f"not read: {path} " in found["green 2024-03"]
    assert said in found["green 2024-03"]
    # in its scope only
    assert missing(discover(settings, ["yellow"])) == {}
    assert missing(discover(settings, ["green"], JANUARY, FEBRUARY)) == {}
    assert list(missing(discover(settings, ["green"], JANUARY, APRIL))) == ["green 2024-03"]


@pytest.mark.parametrize("stamp", ["0000-01", "2024-13", "2024-00", "9999-12", "1024-01"])
def test_a_file_of_no_month_is_named(stamp: str, folder: Path, settings: Settings) -> None:
    path = folder / "trip-data" / f"green_tripdata_{stamp}.parquet"
    path.write_bytes(b"trips")
    (failed,) = (f for f in discover(settings) if f.error)
    assert failed.name == "green"
    assert f"{path} names no month that there can be, {stamp}" in str(failed.error)
    assert asked_again(failed) == failed


def test_a_link_to_the_folder_that_holds_it_tells_nothing_twice(
    folder: Path, settings: Settings
) -> None:
    (folder / "trip-data" / "Green_tripdata_2030-01.parquet").write_bytes(b"x")
    before = missing(discover(settings))
    (folder / "trip-data" / "latest").symlink_to(".")
    assert missing(discover(settings)) == before


def test_a_folder_of_spark_and_a_broken_link_are_named(folder: Path, settings: Settings) -> None:
    spark = folder / "trip-data" / "green_tripdata_2024-03.parquet"
    spark.mkdir()
    (spark / "part-00000-c000.snappy.parquet").write_bytes(b"trips")
    (spark / "_SUCCESS").touch()
    link = folder / "trip-data" / "yellow_tripdata_2024-03.parquet"
    link.symlink_to("/nowhere/else")
    found = missing(discover(settings))
    assert f"{spark} is a folder, as Spark writes one" in found["green 2024-03"]
    assert f"{link} is a link to /nowhere/else, where nothing is" in found["yellow 2024-03"]
    report = land(settings, ["green"], MARCH, MARCH)
    assert [f.published.name for f in report.of(Outcome.FAILED)] == ["green 2024-03"]


@pytest.mark.parametrize(
    ("name", "dataset", "put"),
    [
        ("taxi_zone_lookup.csv", "taxi_zone_lookup", "misc/taxi_zone_lookup.csv"),
        ("misc/taxi+_zone_lookup.csv", "taxi_zone_lookup", "misc/taxi_zone_lookup.csv"),
        ("misc/Taxi_Zone_Lookup.CSV", "taxi_zone_lookup", "misc/taxi_zone_lookup.csv"),
        ("Misc/taxi_zone_lookup.csv", "taxi_zone_lookup", "misc/taxi_zone_lookup.csv"),
        ("data_reports_monthly.csv", "tlc_monthly_report", "misc/data_reports_monthly.csv"),
    ],
)
def test_a_reference_file_in_another_place_is_named(
    name: str, dataset: str, put: str, folder: Path, settings: Settings
) -> None:
    (folder / "misc" / "taxi_zone_lookup.csv").unlink()
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(ZONES)
    words = f"not read: {path} is not looked for under this name: put it as {put}"
    assert missing(discover(settings)) == {dataset: words}
    (folder / put).write_bytes(ZONES)
    assert missing(discover(settings)) == {}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.symlink_to("/nowhere"), "is a link to /nowhere, where nothing is"),
        (lambda path: path.symlink_to(path.name), "is a link to taxi_zone_lookup.csv, where"),
        (lambda path: path.mkdir(), "is a folder, and should be one file"),
        (os.mkfifo, "is no regular file: put the file itself there"),
    ],
    ids=("broken link", "link to itself", "folder", "pipe"),
)
def test_what_has_the_name_of_a_reference_file_and_is_none_is_named(
    make: Callable[[Path], None], words: str, folder: Path, settings: Settings
) -> None:
    path = folder / "misc" / "taxi_zone_lookup.csv"
    path.unlink()
    make(path)
    assert f"not read: {path} {words}" in missing(discover(settings))["taxi_zone_lookup"]


@pytest.mark.parametrize("place", ["", "trip-data", "misc", "trip-data/2024"])
def test_a_link_that_leads_to_itself_stops_nothing(
    place: str, folder: Path, settings: Settings
) -> None:
    link = folder / place / "link"
    link.parent.mkdir(exist_ok=True)
    before = discover(settings)
    link.symlink_to(link.name)
    assert discover(settings) == before
    month = link.with_name("green_tripdata_2024-03.parquet")
    month.symlink_to(month.name)
    assert "mend the link" in missing(discover(settings))["green 2024-03"]


def test_a_report_that_is_looked_for_elsewhere_is_not_missed(
    folder: Path, make_settings: MakeSettings, web: Web
) -> None:
    (folder / "data_reports_monthly.csv").write_bytes(b"report")
    assert missing(discover(make_settings(report_url=f"{web.url}/report.csv"))) == {}


def test_what_lies_beside_a_month_is_said_and_no_fault(folder: Path, settings: Settings) -> None:
    beside = [f"green_tripdata_2024-01.parquet.{n}" for n in range(8)]
    for name in (*beside, ".green_tripdata_2024-03.parquet", "readme.txt", "_SUCCESS"):
        (folder / "trip-data" / name).write_bytes(b"x")
    said: list[str] = []
    assert missing(discover(settings, progress=Lines(said.append))) == {}
    assert said == [
        "not read, for another file gives its month: " + ", ".join([*beside[:5], "and 3 more"])
    ]


def test_a_table_of_no_month_is_said_and_no_fault(folder: Path, settings: Settings) -> None:
    months = folder / "trip-data"
    strange = ["service=green/year=2024/month=03/part-0.parquet", "yelow_tripdata_2024-03.csv"]
    for name in (*strange, "_delta_log/0.checkpoint.parquet", ".trash/a.parquet", "readme.txt"):
        (months / name).parent.mkdir(parents=True, exist_ok=True)
        (months / name).write_bytes(b"x")
    said: list[str] = []
    assert missing(discover(settings, progress=Lines(said.append))) == {}
    names = ", ".join(str(months / name) for name in strange)
    assert said == [f"not read, for no month is called so: {names}"]
    for month in months.glob("*_tripdata_2024-0?.parquet"):
        month.unlink()
    with pytest.raises(
        MedallionError, match=r"months are called trip-data/yellow_tripdata_{month}"
    ):
        discover(settings)


def test_a_name_does_nothing_on_a_terminal(folder: Path, settings: Settings) -> None:
    (folder / "trip-data" / "green_tripdata_2024-03\x1b[31m\n.parquet").write_bytes(b"trips")
    found = missing(discover(settings))["green 2024-03"]
    assert r"green_tripdata_2024-03\x1b[31m\n.parquet is not called as months are" in found


# --- a folder that is not what it was ------------------------------------------------------------


def test_a_folder_without_months_is_the_publishers_fault(
    published: Path, make_settings: MakeSettings
) -> None:
    settings = make_settings()
    with pytest.raises(MedallionError, match=r"there is no trip-data/ in .*: months are looked"):
        land(settings)
    within = settings.model_copy(update={"tlc_url": f"{settings.tlc_url}/trip-data"})
    (published / "trip-data").mkdir()
    with pytest.raises(MedallionError, match=r"trip-data: .*; name the folder above it"):
        land(within)
    with pytest.raises(MedallionError, match=r"Nothing is published at .*: no month is in .*trip"):
        land(settings)
    # a folder of reference files is one until a month came from there
    publish(published, "taxi_zone_lookup", None, ZONES)
    said: list[str] = []
    (file,) = land(settings, progress=Lines(said.append)).files
    assert file.outcome is Outcome.NEW
    assert said[0] == f"no month is in {published / 'trip-data'}"
    with pytest.raises(MedallionError, match="no month is in"):
        land(settings, ["green"])
    path = publish(published, "green", JANUARY, trips("green", JANUARY))
    land(settings)
    path.unlink()
    with pytest.raises(MedallionError, match="no month is in"):
        land(settings)
    (file,) = land(settings, ["taxi_zone_lookup"]).files
    assert file.outcome is Outcome.UNCHANGED


def test_a_folder_that_has_gone_is_no_wrong_setting(
    folder: Path, settings: Settings, tmp_path: Path
) -> None:
    publish(folder, "green", JANUARY, trips("green", JANUARY))
    folder.rename(tmp_path / "away")
    with pytest.raises(UsageError, match="there is no folder"):
        land(settings)
    (tmp_path / "away").rename(folder)
    land(settings)
    folder.rename(tmp_path / "away")
    with pytest.raises(MedallionError, match=r"there is no folder .* Is it mounted\?") as gone:
        land(settings)
    assert gone.value.exit_code == 1
    assert not isinstance(gone.value, UsageError)


MAY_NOT = """
import os
import sys
from ingestion.published import published_now as discover
from ingestion.errors import MedallionError
from ingestion.settings import Settings
try:
    discover(Settings(_env_file=None, tlc_url=sys.argv[1], lake_url=sys.argv[2]))
except MedallionError as exc:
    print(exc)
"""


@pytest.mark.parametrize("closed", ["published", "published/trip-data"])
def test_a_folder_that_may_not_be_read_is_named(
    closed: str, folder: Path, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / closed).chmod(0o000)
    command = [sys.executable, "-c", MAY_NOT, settings.tlc_url or "", settings.lake_url]
    done = processes.without_powers(command)
    (tmp_path / closed).chmod(0o755)
    assert done.stdout.startswith(str(tmp_path / closed)), done.stderr
    assert "cannot be read: Permission denied. Let this account read it" in done.stdout
