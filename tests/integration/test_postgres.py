"""Loading into a real PostgreSQL: exact types and rows, load records, faults."""

import datetime as dt
import os
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import psycopg2
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingestion.errors import MedallionError
from ingestion.land import land
from ingestion.load import load
from ingestion.progress import Quiet
from ingestion.settings import Settings
from ingestion.sources import registry
from ingestion.sources.base import Column, Era
from ingestion.sources.tlc.datasets import DATASETS
from ingestion.warehouse import connect as open_warehouse
from ingestion.warehouse import engine_for
from ingestion.warehouse.postgres.session import connect_libpq
from tests.conftest import MakeSettings
from tests.support import postgres
from tests.support.processes import PATIENCE_SECONDS
from tests.support.readings import follow_through_an_upgrade, readings
from tests.support.stores import Store, fresh_environment
from tests.support.trips import publish, trips

JANUARY, FEBRUARY = dt.date(2024, 1, 1), dt.date(2024, 2, 1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with postgres.server(tmp_path_factory.mktemp("postgres")) as variables:
        yield variables


@pytest.fixture
def settings(
    server: dict[str, str],
    published: Path,
    make_settings: MakeSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Settings]:
    """Settings for a database of the test's own."""
    with postgres.database(server) as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield make_settings(target="postgres")


def rows(settings: Settings, sql: str) -> list[tuple[Any, ...]]:
    with open_warehouse(settings, read_only=True) as session:
        return session.query(sql).rows


def the_table(settings: Settings, like: str) -> str:
    ((name,),) = rows(settings, f"select table_name from raw.files where table_name like '{like}%'")
    return str(name)


@pytest.mark.usefixtures("settings")
def test_a_client_on_the_servers_machine_may_send_ahead(server: dict[str, str]) -> None:
    if not server["PGHOST"].startswith("/"):
        pytest.skip("the server has no local socket, and TCP's buffers grow by themselves")
    with psycopg2.connect(dbname=os.environ["PGDATABASE"]) as plain:
        as_installed = send_buffer(plain)
    ours = connect_libpq(os.environ["PGDATABASE"])
    assert send_buffer(ours) > as_installed
    ours.close()
    plain.close()


def send_buffer(connection: "psycopg2.extensions.connection") -> int:
    with socket.socket(fileno=os.dup(connection.fileno())) as line:
        return line.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)


def test_every_real_green_month_is_loaded_row_by_row(settings: Settings, real_data: Path) -> None:
    with_nulls = ["2020-04", "2023-02", "2025-01"]  # an era each, the first with a null column
    for month in with_nulls:
        name = f"green_tripdata_{month}.parquet"
        target = Path(settings.tlc_url.removeprefix("file://")) / "trip-data" / name
        target.parent.mkdir(exist_ok=True)
        target.write_bytes((real_data / "trip-data" / name).read_bytes())
    land(settings)
    assert len(load(settings).loaded) == 3
    for month in with_nulls:
        file = real_data / "trip-data" / f"green_tripdata_{month}.parquet"
        table = the_table(settings, f"green_tripdata_{month.replace('-', '_')}")
        names = ", ".join(f'"{n}"' for n in pq.read_schema(file).names)
        found = rows(settings, f'select {names} from raw.{table} order by "_row_ordinal"')
        expected = duckdb.sql(
            f"select {names} from read_parquet('{file}', file_row_number = true)"
            " order by file_row_number"
        ).fetchall()
        assert found == expected


def test_a_lake_in_a_bucket_is_loaded_as_it_was_landed(
    settings: Settings, published: Path, store_servers: Callable[[str], Store]
) -> None:
    bucket = store_servers("s3")
    month = trips("green", JANUARY)
    publish(published, "green", JANUARY, month)
    settings = settings.model_copy(update={"lake_url": bucket.new_lake()})
    with fresh_environment(bucket.environment):
        land(settings)
        assert load(settings).failed == {}
        found = rows(settings, "select count(*), sum(total_amount)::text from tlc.green_tripdata")
    assert found[0][0] == month.num_rows
    assert float(found[0][1]) == pytest.approx(sum(month["total_amount"].to_pylist()))


def test_types_are_mapped_exactly(settings: Settings, published: Path) -> None:
    extra = {
        "a_null": pa.nulls(2),
        "a_bool": pa.array([True, None]),
        "a_small": pa.array([-128, 127], pa.int8()),
        "an_unsigned": pa.array([0, 2**32 - 1], pa.uint32()),
        "a_float": pa.array([0.5, None], pa.float32()),
        "a_large_text": pa.array(["é'\"\\", None], pa.large_string()),
        "some_bytes": pa.array([b"\x00\xff", None], pa.binary()),
        "a_date": pa.array([dt.date(2024, 1, 31), None], pa.date32()),
        "a_time_ns": pa.array([1_700_000_000_000_000_000, None], pa.timestamp("ns")),
        "a_time_utc": pa.array([dt.datetime(2024, 1, 1, tzinfo=dt.UTC), None]),
        "A word": pa.array(["x", "y"]).dictionary_encode(),
        "a_decimal": pa.array([Decimal("-1.50"), None], pa.decimal128(38, 18)),
        "a_wide_decimal": pa.array([Decimal("1.5"), None], pa.decimal256(38, 2)),
        "a_huge_unsigned": pa.array([2**64 - 1, None], pa.uint64()),
        "a_clock": pa.array([dt.time(23, 59, 59), None], pa.time32("ms")),
        "a_span": pa.array([dt.timedelta(days=-1, seconds=1), None], pa.duration("s")),
        "some_words": pa.array([["a", None], []]),
        "some_decimals": pa.array([[Decimal("0.1")], None]),
    }
    table = trips("green", JANUARY, rows=2)
    for name, values in extra.items():
        table = table.append_column(name, values)
    publish(published, "green", JANUARY, table)
    land(settings)
    assert load(settings).failed == {}
    name = the_table(settings, "green")
    types = dict(
        rows(
            settings,
            "select column_name, data_type from information_schema.columns"
            f" where table_name = '{name}'",
        )
    )
    assert {column: types[column] for column in extra} == {
        "a_null": "text",
        "a_bool": "boolean",
        "a_small": "smallint",
        "an_unsigned": "bigint",
        "a_float": "real",
        "a_large_text": "text",
        "some_bytes": "bytea",
        "a_date": "date",
        "a_time_ns": "timestamp without time zone",
        "a_time_utc": "timestamp with time zone",
        "A word": "text",
        "a_decimal": "numeric",
        "a_wide_decimal": "numeric",
        "a_huge_unsigned": "numeric",
        "a_clock": "time without time zone",
        "a_span": "interval",
        "some_words": "ARRAY",
        "some_decimals": "ARRAY",
    }
    columns = ", ".join(f'"{column}"' for column in extra if column != "some_bytes")
    assert rows(settings, f'select {columns} from raw.{name} order by "_row_ordinal"') == [
        (
            *(None, True, -128, 0, 0.5, "é'\"\\", dt.date(2024, 1, 31)),
            dt.datetime(2023, 11, 14, 22, 13, 20),
            dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
            "x",
            *(Decimal("-1.5"), Decimal("1.5"), Decimal(2**64 - 1), dt.time(23, 59, 59)),
            *(dt.timedelta(days=-1, seconds=1), ["a", None], [Decimal("0.1")]),
        ),
        (None, None, 127, 2**32 - 1, *[None] * 5, "y", *[None] * 5, [], None),
    ]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("a_struct", pa.array([{"a": 1}, None])),
        ("lists", pa.array([[[1]], [[2], [3]]])),
        ("nanoseconds", pa.array([1_700_000_000_000_000_001, 1], pa.timestamp("ns"))),
        ("ctid", pa.array([1, 2])),
        ("_row_ordinal", pa.array([1, 2])),
    ],
)
def test_what_cannot_be_held_exactly_is_refused_by_name(
    settings: Settings, published: Path, name: str, values: pa.Array
) -> None:
    table = trips("green", JANUARY, rows=2).append_column(name, values)
    publish(published, "green", JANUARY, table)
    publish(published, "green", FEBRUARY, trips("green", FEBRUARY))
    land(settings)
    report = load(settings)
    assert len(report.loaded) == 1
    ((version, reason),) = report.failed.items()
    assert version.startswith("green_tripdata_2024_01")
    assert f"column {name}" in reason
    assert "\n" not in reason
    assert rows(
        settings, "select count(*) from tlc.green_tripdata where source_month = '2024-01-01'"
    ) == [(0,)]


def test_a_second_load_does_nothing_and_a_republication_is_shown(
    settings: Settings, published: Path
) -> None:
    publish(published, "green", JANUARY, trips("green", JANUARY, rows=5))
    land(settings)
    assert load(settings).rows == 5
    assert load(settings).loaded == []
    publish(published, "green", JANUARY, trips("green", JANUARY, rows=7, seed=1))
    land(settings)
    assert load(settings).rows == 7
    assert rows(settings, "select count(*) from tlc.green_tripdata") == [(7,)]
    assert rows(settings, "select count(*), count(*) filter (where is_current) from raw.files") == [
        (2, 1)
    ]


def test_how_a_version_is_read_is_recorded(settings: Settings, published: Path) -> None:
    publish(published, "green", JANUARY, trips("green", JANUARY, rows=5))
    land(settings)
    load(settings)
    with open_warehouse(settings) as session:  # as an earlier release made it
        session.execute("alter table raw.files drop column read_as, drop column is_newest")
        session.execute("update raw.files set read_as_at_upgrade = null")
    assert load(settings).loaded == []
    ((read_as, at_upgrade),) = readings(settings)
    assert read_as == at_upgrade
    with open_warehouse(settings) as session:
        session.execute("update raw.files set read_as_at_upgrade = null")
    follow_through_an_upgrade(settings)


def test_workers_that_begin_at_once_in_an_empty_database_all_load(settings: Settings) -> None:
    together = threading.Barrier(4)

    def prepare(_: int) -> None:
        engine = engine_for(settings)
        with engine.session() as session:
            together.wait(PATIENCE_SECONDS)
            engine.prepare(session)

    with ThreadPoolExecutor(4) as workers:
        list(workers.map(prepare, range(4)))
    assert rows(settings, "select count(*) from raw.files") == [(0,)]


def test_a_month_that_another_worker_loads_meanwhile_is_shown_too(
    settings: Settings, published: Path
) -> None:
    other = settings.model_copy(update={"work_dir": settings.work_dir / "other"})
    publish(published, "green", JANUARY, trips("green", JANUARY, rows=5))
    land(settings)

    class LoadsAnother(Quiet):
        """Another worker lands and loads February while this one is about to load January."""

        def stage(self, name: str, files: int, size: int) -> None:
            publish(published, "green", FEBRUARY, trips("green", FEBRUARY, rows=7))
            land(other)
            assert load(other, ["green"], FEBRUARY, FEBRUARY).rows == 7

    assert load(settings, ["green"], JANUARY, JANUARY, progress=LoadsAnother()).rows == 5
    assert rows(
        settings, "select source_month, count(*) from tlc.green_tripdata group by 1 order by 1"
    ) == [(JANUARY, 5), (FEBRUARY, 7)]


def _read_as(monkeypatch: pytest.MonkeyPatch, *columns: Column) -> None:
    """Let green's next era have these columns too."""
    green = DATASETS["green"]
    era = Era(dt.date(2026, 1, 1), (*green.eras[-1].columns, *columns))
    monkeypatch.setitem(registry.datasets(), "green", replace(green, eras=(*green.eras, era)))


def test_a_column_that_is_read_from_now_on_joins_the_view(
    settings: Settings, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(published, "green", JANUARY, trips("green", JANUARY, rows=5))
    land(settings)
    load(settings)
    _read_as(monkeypatch, Column("new_fee", "double", frozenset({"double"}), False))
    assert load(settings).failed == {}
    assert rows(settings, "select count(*), count(new_fee) from tlc.green_tripdata") == [(5, 0)]
    assert load(settings).loaded == []


def test_a_column_whose_type_is_wider_from_now_on_takes_the_views_that_read_it_along(
    settings: Settings, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(published, "green", JANUARY, trips("green", JANUARY, rows=5))
    land(settings)
    load(settings)
    with open_warehouse(settings) as session:
        session.execute("create view public.staged as select trip_type from tlc.green_tripdata")
    _read_as(monkeypatch, Column("trip_type", "text", frozenset({"string"}), False))
    assert load(settings).failed == {}
    kinds = "select distinct pg_typeof(trip_type)::text from tlc.green_tripdata"
    assert rows(settings, kinds) == [("text",)]
    assert rows(settings, "select to_regclass('public.staged')") == [(None,)]


def test_a_raw_table_that_somebody_dropped_is_loaded_again(
    settings: Settings, published: Path
) -> None:
    publish(published, "green", JANUARY, trips("green", JANUARY, rows=5))
    land(settings)
    load(settings)
    with open_warehouse(settings) as session:
        session.execute(f"drop table raw.{the_table(settings, 'green')} cascade")
    assert load(settings).rows == 5
    assert rows(settings, "select count(*) from tlc.green_tripdata") == [(5,)]


def test_a_statement_that_is_cut_short_leaves_nothing_and_the_next_load_goes_on(
    settings: Settings, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(published, "green", JANUARY, trips("green", JANUARY))
    land(settings)
    assert load(settings).failed == {}
    publish(published, "green", FEBRUARY, trips("green", FEBRUARY, rows=400_000))
    land(settings)
    # far more than the small statements take: one that ends as its time does is told otherwise
    monkeypatch.setenv("PGOPTIONS", "-c statement_timeout=100")
    try:
        failed = load(settings).failed
    except MedallionError as exc:
        failed = {"green_tripdata_2024_02": str(exc)}
    ((name, reason),) = failed.items()
    assert name.startswith("green_tripdata_2024_02")
    assert "statement timeout" in reason
    monkeypatch.delenv("PGOPTIONS")
    assert load(settings).rows == 400_000


def test_no_server_is_one_line_without_a_password(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGHOST", "127.0.0.1")
    monkeypatch.setenv("PGPORT", "9")
    monkeypatch.setenv("PGPASSWORD", "hunter2")
    with pytest.raises(MedallionError, match=r"PostgreSQL at 127\.0\.0\.1:9") as fault:
        load(settings)
    assert "hunter2" not in str(fault.value)
    assert "\n" not in str(fault.value)


def test_a_database_that_is_not_there_is_one_line(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGDATABASE", "nowhere")
    with pytest.raises(MedallionError, match='database "nowhere" does not exist'):
        load(settings)


def test_looking_at_a_day_that_was_never_built_makes_no_database(settings: Settings) -> None:
    past = settings.as_of(dt.date(2024, 5, 1))
    with pytest.raises(MedallionError, match=r"Build it with: medallion run --as-of 2024-05-01"):
        rows(past, "select 1")
    found = rows(settings, "select count(*) from pg_database where datname like '%as-of%'")
    assert found == [(0,)]
    load(past, as_of=dt.date(2024, 5, 1))
    assert rows(past, "select count(*) from raw.files") == [(0,)]
    with open_warehouse(settings) as session:
        session.execute(f'drop database "{rows(past, "select current_database()")[0][0]}"')
