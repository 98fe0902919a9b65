"""The flows on a Prefect server of the tests' own, in this process."""

import asyncio
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from contextvars import copy_context
from datetime import date
from pathlib import Path

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.events.worker import EventsWorker
from prefect.settings import PREFECT_HOME, temporary_settings
from prefect.testing import fixtures
from prefect.testing.utilities import prefect_test_harness

from ingestion.errors import NotLoadedError, UnreachableError, UntrustedFileError
from ingestion.lake.withdraw import take_back, withdraw
from ingestion.land import land as land_all
from ingestion.load import LoadReport, tables_in_use
from ingestion.settings import PROJECT_ROOT, Settings, load_settings, read_settings
from ingestion.warehouse import connect
from orchestration.flow import events
from orchestration.flows import Ingested, ingest, main, nightly
from orchestration.job import environments
from orchestration.job.doctor import doctor
from orchestration.tasks import acquire_run_lock, check_state, discover, outcome_of, rows_of
from tests.support import postgres, processes
from tests.support.api import serving_api
from tests.support.damage import damage_page
from tests.support.ports import free_port
from tests.support.trips import ZONES, publish, trips, with_column

pytestmark = pytest.mark.slow

JANUARY = date(2024, 1, 1)

# events go to a list in place of the server
recorder = fixtures.asserting_events_worker


@pytest.fixture(scope="module", autouse=True)
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    home = tmp_path_factory.mktemp("prefect")
    with temporary_settings({PREFECT_HOME: home}), prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A publisher's folder with January, beside an empty lake and warehouse."""
    published = tmp_path / "published"
    publish(published, "green", JANUARY, trips("green", JANUARY))
    publish(published, "taxi_zone_lookup", None, ZONES)
    monkeypatch.setenv("MEDALLION_TLC_URL", published.as_uri())
    monkeypatch.setenv("MEDALLION_LAKE_URL", str(tmp_path / "lake"))
    monkeypatch.setenv("MEDALLION_DUCKDB_PATH", str(tmp_path / "warehouse.duckdb"))
    monkeypatch.setenv("MEDALLION_WORK_DIR", str(tmp_path / "work"))
    return published


def ingested() -> Ingested:
    done = asyncio.run(ingest())  # type: ignore[arg-type]
    assert isinstance(done, Ingested)
    return done


def hold(settings: Settings, held: object, let_go: object) -> None:
    """Have the warehouse open, as a sibling that loads has."""
    with connect(settings):
        held.set()  # type: ignore[attr-defined]
        let_go.wait()  # type: ignore[attr-defined]


def waiting() -> list[str]:
    with get_client(sync_client=True) as client:
        runs = client.read_task_runs()
    return [run.name for run in runs if run.state_name == "AwaitingRetry"]


def test_a_warehouse_that_is_down_is_not_waited_for_without_end(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acquire_run_lock, "retry_delay_seconds", 0.1)
    nobody = {"PGHOST": "127.0.0.1", "PGPORT": str(free_port())}
    for name, value in {"MEDALLION_TARGET": "postgres", **nobody}.items():
        monkeypatch.setenv(name, value)
    state = asyncio.run(nightly(return_state=True))  # type: ignore[arg-type]
    assert state.is_failed()
    assert isinstance(outcome_of(state), UnreachableError)
    assert "Connection refused" in state.message


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What Prefect writes into the logs of runs."""
    loggers = [logging.getLogger(f"prefect.{kind}_runs") for kind in ("flow", "task")]
    for logger in loggers:
        logger.addHandler(caplog.handler)
    yield caplog
    for logger in loggers:
        logger.removeHandler(caplog.handler)


def test_what_landed_before_is_loaded_where_its_successor_cannot_be_trusted(
    folder: Path, logged: pytest.LogCaptureFixture
) -> None:
    land_all(load_settings())
    named_oddly, twice = trips("green", JANUARY), "\x1b[31mred\nerror: none"
    for _ in range(2):
        named_oddly = named_oddly.append_column(twice, named_oddly["fare_amount"])
    publish(folder, "green", JANUARY, named_oddly)
    done = ingested()
    assert "green 2024-01 is in quarantine: 2 columns have the same name" in done.alerted[0]
    # a log shows text of a file on the line where it stands, and a terminal does nothing for it
    told = [line for line in logged.text.splitlines() if "have the same name" in line]
    assert len(told) > 1
    assert all(line.endswith(("error: none", "error: none')")) for line in told)
    assert "\x1b" not in logged.text
    assert done.errors == []
    with connect(load_settings(), read_only=True) as session:
        files = session.query("select status, is_current from raw.files where month is not null")
        shown = session.query("select count(*) from tlc.green_tripdata").rows
    assert sorted(files.rows) == [("loaded", True), ("quarantined", False)]
    assert shown == [(20,)]


def test_a_version_that_cannot_be_loaded_is_told_of_and_the_one_before_it_shown(
    folder: Path, recorder: EventsWorker
) -> None:
    land_all(load_settings())
    damage_page(publish(folder, "green", JANUARY, trips("green", JANUARY, rows=30, seed=1)))
    done = ingested()
    (alerted,) = done.alerted
    assert alerted.startswith("green_tripdata_2024_01")
    assert (done.errors, done.with_errors) == ([], {"green 2024-01"})
    assert [e.event for e in recorder._client.events].count(events.QUARANTINED) == 1
    with connect(load_settings(), read_only=True) as session:
        assert session.query("select count(*) from tlc.green_tripdata").rows == [(20,)]


def test_a_month_that_lost_rows_and_changed_its_columns_is_taken_and_told_of(
    folder: Path, recorder: EventsWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    land_all(load_settings())
    fewer = trips("green", JANUARY, rows=19, seed=1)
    publish(folder, "green", JANUARY, with_column(fewer, "brand_new", [1] * 19))
    done = ingested()
    assert (done.republished, done.errors, done.alerted) == (["green 2024-01"], [], [])
    assert done.remarks == [
        "green 2024-01: 1 of 20 rows are gone, 5.0 %",
        "green 2024-01: unknown column brand_new (int64) is kept in raw and not read",
    ]
    (alerted,) = [e for e in recorder._client.events if e.event == events.ODD]
    assert "1 of 20 rows are gone" in alerted.payload["what"]
    # within what is tolerated nothing is said
    monkeypatch.setenv("MEDALLION_ROW_LOSS_PCT", "10")
    publish(folder, "green", JANUARY, trips("green", JANUARY, rows=18, seed=2))
    assert ingested().remarks == []


def test_an_api_is_asked_each_night_whatever_was_cached(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An API has no fingerprint of an answer, by which a night could tell that it is the same."""
    with serving_api() as api:
        monkeypatch.setenv("MEDALLION_NYC_OPEN_DATA_URL", api.url)
        base = {"license_number": "B00001", "entity_name": "One"}
        report = {"base_license_number": "B00001", "year": "2024", "month": "1"}
        api.answers("/2v9c-2k7f.json", [report | {"total_dispatched_trips": "5"}], [])
        told = []
        for names in (["One"], ["One"], ["One", "Two"]):
            bases = [base | {"entity_name": name} for name in names]
            api.answers("/eccv-9dzr.json", bases, [])
            done = asyncio.run(ingest(["fhv_bases"]))  # type: ignore[arg-type]
            assert isinstance(done, Ingested)
            told.append((done.errors, done.new, done.republished))
    assert told == [([], ["fhv_bases"], []), ([], [], []), ([], [], ["fhv_bases"])]
    with connect(load_settings(), read_only=True) as session:
        found = session.query("select entity_name from nyc_open_data.fhv_bases order by 1").rows
    assert found == [("One",), ("Two",)]


def test_a_table_of_a_database_is_read_each_night(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared = tmp_path / "sources" / "dispatch" / "source.toml"
    declared.parent.mkdir(parents=True)
    declared.write_text(
        'kind = "sql_database"\ncredentials = { env = "DISPATCH_DATABASE" }\n'
        '[datasets.licensed_bases]\ntable = "bases"\n'
    )
    monkeypatch.setenv("MEDALLION_SOURCES", str(declared.parents[1]))
    monkeypatch.setenv("MEDALLION_ENABLED_SOURCES", "tlc,dispatch")
    told = []
    with postgres.server(tmp_path / "postgres") as server, postgres.database(server) as dispatch:
        monkeypatch.setenv("DISPATCH_DATABASE", postgres.url_of(dispatch))
        with closing(postgres.connect(dispatch)) as connection, connection.cursor() as cursor:
            cursor.execute("create table bases (base text primary key, name text)")
            for change in (
                "insert into bases values ('B00001', 'One')",
                "analyze bases",
                "insert into bases values ('B00002', 'Two')",
            ):
                cursor.execute(change)
                done = ingested()
                told.append((done.errors, "licensed_bases" in done.new, done.republished))
    assert told == [([], True, []), ([], False, []), ([], False, ["licensed_bases"])]
    with connect(load_settings(), read_only=True) as session:
        found = session.query("select name from dispatch.licensed_bases order by base").rows
    assert found == [("One",), ("Two",)]


def test_the_text_of_documents_is_landed_and_loaded_with_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = PROJECT_ROOT / "ingestion" / "sources" / "tlc_documents" / "sample"
    monkeypatch.setenv("MEDALLION_TLC_DOCUMENTS_URL", sample.as_uri())
    done = asyncio.run(ingest(["tlc_documents"]))  # type: ignore[arg-type]
    assert isinstance(done, Ingested)
    assert (done.errors, len(done.new)) == ([], 7)
    with connect(load_settings(), read_only=True) as session:
        found = session.query(
            "select count(distinct document) from tlc_documents.tlc_documents_pages"
        ).rows
    assert found == [(7,)]


def test_rows_are_counted_where_the_landing_was_that_of_an_earlier_night(folder: Path) -> None:
    first = ingested()
    assert first.new == ["green 2024-01", "taxi_zone_lookup"]
    with connect(load_settings()) as session:
        session.execute("delete from raw.files where month is not null")
    again = ingested()
    assert (again.new, again.republished, again.rows, again.errors) == ([], [], 20, [])


def test_the_flow_works_in_the_environment_that_is_set(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    main_warehouse = read_settings()
    ingested()
    environments.create(main_warehouse, "try", empty=True)
    before = main_warehouse.duckdb_path.read_bytes()
    publish(folder, "green", JANUARY, trips("green", JANUARY, seed=7))
    monkeypatch.setenv("MEDALLION_ENV", "try")
    assert ingested().republished == ["green 2024-01"]
    # what the main warehouse has loaded is not taken for loaded here
    assert ingested().rows == 0
    of_environment = load_settings()
    assert of_environment.environment == "try"
    assert len(tables_in_use(of_environment)) == 2
    assert main_warehouse.duckdb_path.read_bytes() == before
    monkeypatch.setenv("MEDALLION_ENV", "tyr")
    assert main() == 2
    assert "There is no environment tyr" in capsys.readouterr().err


def test_a_withdrawn_month_leaves_though_its_landing_and_its_load_were_cached(folder: Path) -> None:
    ingested()
    publish(folder, "green", JANUARY, trips("green", JANUARY, rows=30))
    ingested()

    def shown() -> int:
        with connect(load_settings(), read_only=True) as session:
            return int(session.query("select count(*) from tlc.green_tripdata").rows[0][0])

    assert shown() == 30
    key = ("green", JANUARY, None)
    withdraw(load_settings(), key, None, "It has fares in cents.")
    done = ingested()
    assert (done.errors, done.alerted, shown()) == ([], [], 20)
    take_back(load_settings(), key, None, "")
    ingested()
    assert shown() == 30


@pytest.mark.parametrize(
    ("name", "value", "alerted"),
    [
        ("MEDALLION_TLC_URL", "file:///nowhere", "there is no folder /nowhere"),
        ("MEDALLION_TARGET", "oracle", "MEDALLION_TARGET"),
        ("MEDALLION_LAKE_URL", "ftp://lake", "MEDALLION_LAKE_URL"),
    ],
)
def test_a_wrong_setting_is_wrong_usage(
    name: str,
    value: str,
    alerted: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(name, value)
    assert main() == 2
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("error: "))
    assert alerted in line


def test_a_publisher_that_has_nothing_any_more_fails_the_night_in_doctors_words(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    site = folder.parent / "site"
    monkeypatch.setenv("MEDALLION_SITE_DIR", str(site))
    land_all(load_settings())
    (folder / "trip-data").rename(folder / "away")
    (check,) = (c for c in doctor(load_settings()) if c.name == "publisher")
    assert not check.good
    assert main() == 1
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("error: "))
    assert line == f"error: {check.detail}"
    # what is in the marts is shown all the same
    with get_client(sync_client=True) as client:
        (link,) = [a for a in client.read_artifacts() if a.key == "site"]
    assert (site / "index.html").as_uri() in str(link.data)
    assert "2024-01" in (site / "index.html").read_text()


def test_a_month_that_is_named_and_not_published_is_a_fault_and_the_rest_goes_on(
    folder: Path,
) -> None:
    done = asyncio.run(ingest(["green"], "2024-01", "2024-02"))  # type: ignore[arg-type]
    assert isinstance(done, Ingested)
    assert done.new == ["green 2024-01", "taxi_zone_lookup"]
    (fault,) = done.errors
    assert fault.startswith("green 2024-02: it is not published: there is no file://")


@pytest.mark.parametrize("months", [[JANUARY], []], ids=["a month", "none"])
def test_a_publisher_is_called_fresh_where_it_has_months(
    months: list[date],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    recorder: EventsWorker,
) -> None:
    publish(tmp_path, "taxi_zone_lookup", None, ZONES)
    for month in months:
        publish(tmp_path, "green", month, b"trips")
    monkeypatch.setenv("MEDALLION_TLC_URL", tmp_path.as_uri())
    flow(discover.fn, name="discover")([], None, None)
    recorder.wait_until_empty()
    emitted = [event.event for event in recorder._client.events]
    assert emitted.count(events.FRESH) == len(months)


def test_who_holds_the_warehouse_is_waited_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_state, "retry_delay_seconds", 1)
    assert ingested().errors == []
    publish(folder, "green", JANUARY, trips("green", JANUARY, rows=30))
    held, let_go = processes.event(), processes.event()
    holder = processes.start(hold, load_settings(), held, let_go)
    assert held.wait(processes.PATIENCE_SECONDS)

    def release() -> None:
        processes.wait_until(lambda: waiting() == ["check state of lake and warehouse"])
        let_go.set()

    with ThreadPoolExecutor(1) as pool:
        released = pool.submit(copy_context().run, release)
        done = ingested()
        released.result()
    holder.join(processes.PATIENCE_SECONDS)
    assert (done.republished, done.rows, done.errors) == (["green 2024-01"], 30, [])


def test_what_landed_is_loaded_where_the_publisher_is_gone_and_the_fault_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    land_all(load_settings())
    folder.rename(folder.with_name("away"))
    done = ingested()
    (fault,) = done.errors
    assert f"there is no folder {folder}" in fault
    assert "Is it mounted?" in fault
    with connect(load_settings(), read_only=True) as session:
        assert session.query("select count(*) from tlc.green_tripdata").rows == [(20,)]
    # the other sources have their night
    sample = PROJECT_ROOT / "ingestion" / "sources" / "weather_csv" / "sample"
    monkeypatch.setenv("MEDALLION_WEATHER_CSV_URL", sample.as_uri())
    monkeypatch.setenv("MEDALLION_ENABLED_SOURCES", "tlc,weather_csv")
    done = ingested()
    assert (done.errors, done.new) == ([f"tlc: {fault}"], ["central_park_weather"])
    assert done.rows > 0


def test_months_the_wrong_way_round_fail_with_one_line_and_nothing_is_done(folder: Path) -> None:
    for of in (nightly, ingest):
        state = asyncio.run(of(start="2024-05", end="2024-01", return_state=True))  # type: ignore[arg-type, call-overload]
        assert state.is_failed()
        assert state.message.endswith("start 2024-05 is after end 2024-01. Nothing was done.")
        assert "\n" not in state.message
    assert not (folder.parent / "lake").exists()


def test_a_version_that_could_not_be_loaded_is_tried_again_where_its_file_is_good() -> None:
    passing = LoadReport(failed={"green": "the store does not answer"})
    with pytest.raises(NotLoadedError, match="green could not be loaded: the store") as caught:
        rows_of(passing, "green 2024-01")
    assert caught.value.may_pass
    damaged = LoadReport(failed={"green": "damaged"}, quarantined=frozenset({"green"}))
    with pytest.raises(UntrustedFileError, match="green could not be loaded: damaged"):
        rows_of(damaged, "green 2024-01")
