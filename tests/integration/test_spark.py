"""Loading on a real Spark cluster: what the read views show, and what a load does to the lake."""

import math
import threading
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingestion.errors import MedallionError, UnreachableError, UsageError, WarehouseError
from ingestion.land import land
from ingestion.load import load
from ingestion.settings import Settings
from ingestion.warehouse import connect
from ingestion.warehouse.base import Most
from ingestion.warehouse.spark import cluster
from ingestion.warehouse.spark.connection import connect as hive_connect
from ingestion.warehouse.spark.engine import Spark
from ingestion.warehouse.spark.session import SparkSession
from ingestion.warehouse.spark.statements import Statements
from orchestration.job.ask import answer, within
from tests.conftest import settings_in
from tests.support.declared import declare_source, settings_from
from tests.support.lakes import objects
from tests.support.ports import free_port
from tests.support.readings import follow_through_an_upgrade
from tests.support.spark import drop_schemas, spark_settings, start
from tests.support.trips import publish, trips, with_column

pytestmark = pytest.mark.slow

SESSIONS = 30  # of each of eight clients
MOST = Most(rows=10, characters=10_000)
JANUARY, FEBRUARY = date(2024, 1, 1), date(2024, 2, 1)


@pytest.fixture
def settings(tmp_path: Path, spark: dict[str, str]) -> Iterator[Settings]:
    """Two months of green in a lake whose name is no pattern, and a warehouse on the cluster."""
    made = landed(tmp_path, spark)
    yield made
    drop_schemas(made)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory, spark: dict[str, str]) -> Iterator[Settings]:
    """The same, loaded. Tests must not change it."""
    made = landed(tmp_path_factory.mktemp("loaded"), spark)
    load(made)
    yield made
    drop_schemas(made)


def landed(folder: Path, spark: dict[str, str]) -> Settings:
    published = folder / "published"
    publish(published, "green", JANUARY, trips("green", JANUARY))
    publish(published, "green", FEBRUARY, trips("green", FEBRUARY, rows=30))
    lake = folder / "it's a lake {1,ü} [1] * %41"
    settings = settings_in(folder, lake_url=str(lake), **spark_settings(spark))
    land(settings)
    return settings


def rows(settings: Settings, sql: str) -> list[tuple[Any, ...]]:
    with connect(settings, read_only=True) as session:
        return session.query(sql).rows


def months(settings: Settings) -> dict[date, int]:
    return dict(rows(settings, "select source_month, count(*) from tlc.green_tripdata group by 1"))


def test_a_read_view_shows_what_duckdb_shows(tmp_path: Path, spark: dict[str, str]) -> None:
    published = tmp_path / "published"
    for month in (date(2017, 1, 1), date(2020, 4, 1), date(2023, 3, 1), date(2025, 2, 1)):
        publish(published, "fhv", month, trips("fhv", month, rows=300))
    old = (
        "Dispatching_base_num,Pickup_date,locationID\n"
        "B00013,2015-01-01 00:30:00,\n"
        '"B0, 14",2015-01-01 23:59:59, 7.0 \n'
    )
    for month in (date(2015, 1, 1), date(2015, 2, 1)):
        publish(published, "fhv", month, old.encode(), "csv.gz")
    in_place = settings_in(tmp_path, raw="in_place")
    land(in_place)
    load(in_place)
    cluster = in_place.model_copy(update=spark_settings(spark))
    before = objects(cluster)
    assert not load(cluster).failed
    assert before.items() <= objects(cluster).items()
    # of two files of texts alone, the metastore would make a folder with the pattern's name
    assert not list((tmp_path / "lake").rglob("*{*"))
    view = "tlc.fhv_tripdata"
    with connect(cluster) as session:
        assert isinstance(session, SparkSession)
        there = session.batches(session.in_spark(f"select * from {view}")).read_all()
    with duckdb.connect(in_place.duckdb_path) as local:
        here = local.sql(f"from {view}").to_arrow_table()
        assert here.num_rows == there.num_rows == 1204
        assert here.column_names == there.column_names
        for a, b in (("here", "there"), ("there", "here")):
            assert local.sql(f"from {a} except all from {b}").fetchall() == []
    drop_schemas(cluster)


def test_numbers_that_are_declared_as_text_are_the_texts_of_duckdb(
    tmp_path: Path, spark: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = [
        0.0,
        -0.0,
        1.0,
        -2.5,
        0.1,
        1234567.5,
        12345678.0,
        -123456789.125,
        1e15,
        1e16,
        1.5e300,
    ]
    numbers += [
        0.00123,
        1e-3,
        1.25e-4,
        1e-4,
        1e-5,
        -2.5e-11,
        math.inf,
        -math.inf,
        math.nan,
        -math.nan,
    ]
    # Java 17 writes one digit more of some floats: https://bugs.openjdk.org/browse/JDK-4511638
    floats = pa.array([n if 1e-3 <= abs(n) < 1e7 else 0.5 for n in numbers], pa.float32())
    columns = pa.table({"double": numbers, "float": floats})
    pq.write_table(columns, tmp_path / "depths.parquet")
    source = (
        'title = "Wharf"\nurl = "https://wharf.example"\n'
        '[datasets.depths]\npath = "depths.parquet"\n'
        '[datasets.depths.columns]\ndouble = "text"\nfloat = "text"\n'
    )
    declared = declare_source(
        tmp_path,
        "wharf",
        source,
        WHARF_URL=tmp_path.as_uri(),
        ENABLED_SOURCES="wharf",
    )
    local = settings_from(declared, monkeypatch)
    land(local)
    texts = 'select "double", "float" from wharf.depths order by row_ordinal'
    shown = []
    for settings in (local, local.model_copy(update=spark_settings(spark))):
        assert not load(settings).failed
        shown.append(rows(settings, texts))
    assert shown[0] == shown[1]
    assert shown[0][:3] == [("0.0", "0.5"), ("-0.0", "0.5"), ("1.0", "1.0")]
    drop_schemas(settings)


def test_a_second_load_does_nothing_and_a_month_opens_its_own_file_only(
    settings: Settings, tmp_path: Path
) -> None:
    assert load(settings).rows == 50
    before = objects(settings)
    assert load(settings).loaded == []
    assert objects(settings) == before
    (other,) = tmp_path.glob("*/raw/green/*2024_01*")
    other.write_bytes(b"no Parquet")
    sql = "select count(*), max(row_ordinal) from tlc.green_tripdata where source_month ="
    assert rows(settings, f"{sql} date '2024-02-01'") == [(30, 29)]
    with pytest.raises(WarehouseError):
        rows(settings, f"{sql} date '2024-01-01'")


def test_how_a_version_is_read_is_recorded(settings: Settings) -> None:
    load(settings)
    follow_through_an_upgrade(settings)


def test_dropping_a_warehouse_leaves_the_lake_as_it_was(settings: Settings) -> None:
    load(settings)
    before = objects(settings)
    drop_schemas(settings)
    assert objects(settings) == before
    assert not Spark(settings).exists()
    assert load(settings).rows == 50


def test_a_month_published_again_replaces_the_one_before(
    settings: Settings, tmp_path: Path
) -> None:
    load(settings)
    again = with_column(trips("green", JANUARY, rows=25), "new_column", [None] * 25)
    publish(tmp_path / "published", "green", JANUARY, again)
    land(settings)
    assert load(settings).rows == 25
    assert months(settings) == {JANUARY: 25, FEBRUARY: 30}
    files = "select is_current, status from raw.files where month = date '2024-01-01' order by 1"
    assert rows(settings, files) == [(False, "loaded"), (True, "loaded")]


def test_a_damaged_or_missing_file_is_named_and_the_others_go_on(
    settings: Settings, tmp_path: Path
) -> None:
    (damaged,) = tmp_path.glob("*/raw/green/*2024_01*")
    damaged.write_bytes(damaged.read_bytes()[:-200])
    report = load(settings)
    assert [name for name in report.failed if "2024_01" in name] == list(report.quarantined)
    assert months(settings) == {FEBRUARY: 30}
    damaged.unlink()
    assert len(load(settings).failed) == 1
    assert months(settings) == {FEBRUARY: 30}


def test_a_lake_that_knows_nothing_of_what_is_shown_takes_nothing_away(loaded: Settings) -> None:
    empty = loaded.model_copy(update={"lake_url": f"{loaded.lake_url}-other"})
    with pytest.raises(MedallionError, match="green 2024-01 to 2024-02"):
        load(empty)
    assert months(loaded) == {JANUARY: 20, FEBRUARY: 30}


def test_two_loads_at_once_lose_nothing(settings: Settings) -> None:
    faults: list[BaseException] = []

    def work(month: date) -> None:
        try:
            load(settings, ["green"], month, month)
        except BaseException as exc:
            faults.append(exc)

    both = [threading.Thread(target=work, args=(month,)) for month in (JANUARY, FEBRUARY)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert not faults
    load(settings)
    assert months(settings) == {JANUARY: 20, FEBRUARY: 30}


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("drop view raw.files", "read-only"),
        ("select 1; select 2", "read-only"),
        ("insert into raw.files select * from raw.files", "read-only"),
        ("select transform(1) using 'id' as (a string)", "read-only"),
        ("select reflect('java.lang.System', 'exit', 1)", "reflect"),
        ("select * from parquet.`/etc`", "cannot be found"),
        ("select * from csv.`file:/etc/passwd`", "cannot be found"),
        ("explain delete from raw.files", "read-only"),
        ("set spark.sql.ansi.enabled=false", "read-only"),
        ("add jar '/tmp/x.jar'", "read-only"),
    ],
)
def test_a_query_can_only_read_the_warehouse(loaded: Settings, sql: str, reason: str) -> None:
    with connect(loaded, read_only=True) as session:
        with pytest.raises(WarehouseError, match=reason):
            session.read(sql)
        assert session.read("select count(*) from tlc.green_tripdata").rows == [(50,)]


@pytest.mark.parametrize(
    "value",
    [
        "timestamp '+12000-01-01 00:00:00'",
        "timestamp_ltz '-0044-03-15 00:00:00'",
        "date '+12000-01-01'",
    ],
)
def test_a_time_outside_the_calendar_of_python_is_refused_in_a_line(
    loaded: Settings, value: str
) -> None:
    with connect(loaded, read_only=True) as session:
        with pytest.raises(WarehouseError, match="cast it to text"):
            session.read(f"select {value} as at")
        ((text,),) = session.read(f"select cast({value} as string) as at").rows
        assert text[0] in "+-"


@pytest.mark.parametrize("text", ["${env:PATH}", "${system:user.home}", "${spark.app.name}"])
def test_a_query_shows_no_variable_of_the_server(loaded: Settings, text: str) -> None:
    with connect(loaded, read_only=True) as session:
        assert session.read(f"select '{text}' as said").rows == [(text,)]


def test_a_setting_that_is_not_in_force_is_named(loaded: Settings) -> None:
    engine = Spark(loaded)
    with engine.session() as session:
        assert engine.lacks(session) == []
        session.run("set spark.sql.session.timeZone=America/New_York")
        (told,) = engine.lacks(session)
    assert "spark.sql.session.timeZone=America/New_York" in told
    assert "set it to UTC" in told


def test_a_server_without_iceberg_is_refused_where_tables_are_to_be_of_it(loaded: Settings) -> None:
    with pytest.raises(MedallionError, match="no catalog of Iceberg") as told:
        load(loaded.model_copy(update={"spark_format": "iceberg"}))
    assert "\n" not in str(told.value)


def test_a_server_that_does_not_answer_is_named(loaded: Settings) -> None:
    nobody = loaded.model_copy(update={"spark_port": 9})
    with pytest.raises(UnreachableError, match=r"Spark at 127\.0\.0\.1:9 does not answer"):
        load(nobody)


def test_another_login_than_the_servers_is_refused_in_a_line(loaded: Settings) -> None:
    other = loaded.model_copy(update={"spark_auth": "NOSASL"})
    with pytest.raises(MedallionError, match="MEDALLION_SPARK_AUTH=NOSASL"):
        load(other)


def test_a_query_is_cut(loaded: Settings) -> None:
    with connect(loaded, read_only=True) as session:
        found = answer(session, "select id, timestamp '2024-01-01' as t from range(1000000)", MOST)
        assert (found.columns, len(found.rows), found.is_cut) == (["id", "t"], 10, True)
        assert "files" in [name for _, name, _ in answer(session, "show tables").rows]
        with pytest.raises(WarehouseError, match="nowhere"):
            answer(session, "select * from nowhere", MOST)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """The settings of a cluster that no other file of tests uses."""
    folder, port = tmp_path_factory.mktemp("own") / "cluster", free_port()
    start(folder, port)
    yield Settings(spark_port=port)
    cluster.down(folder)


def test_the_sessions_of_several_clients_end(own: Settings) -> None:
    """Where statements run in the thread of their connection, some fail to, or never do.

    So it was in two of three tries with so many sessions, on a server that nobody has asked yet:
    this is the first test that uses it.
    """
    faults: list[Exception] = []

    def client() -> None:
        for _ in range(SESSIONS):
            connection = hive_connect(own)
            Statements(connection, (), "").fetch("show tables in default")
            try:
                connection.close()
            except Exception as exc:  # it would end the thread unseen
                faults.append(exc)

    clients = [threading.Thread(target=client, daemon=True) for _ in range(8)]
    for thread in clients:
        thread.start()
    deadline = time.monotonic() + 240
    for thread in clients:
        thread.join(max(0.0, deadline - time.monotonic()))
    assert faults == []
    assert [thread for thread in clients if thread.is_alive()] == []


def test_a_query_that_takes_too_long_is_ended(own: Settings) -> None:
    """Its task does not end when it is asked to, so that its executor ends."""
    endless = "select count(*) from range(1000000) a, range(1000000) b, range(1000000) c"
    with (
        Spark(own).session() as session,
        pytest.raises(UsageError, match="was ended"),
        within(0.5, session),
    ):
        answer(session, endless, MOST)
    with Spark(own).session() as session:
        assert answer(session, "select count(*) from range(10)", MOST).rows == [(10,)]
