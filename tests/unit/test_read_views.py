"""The SQL of the read views, as DuckDB understands it."""

from collections.abc import Iterator
from datetime import date, datetime

import duckdb
import pytest

from ingestion.schema_on_read import (
    DUCKDB,
    ORIGIN,
    POSTGRES,
    SPARK,
    Branch,
    Dialect,
    key_sql,
    month_sql,
    read_view_sql,
    reading_of,
)
from ingestion.sources.base import Column, Dataset, Era
from ingestion.sources.tlc.datasets import DATASETS

GREEN, YELLOW = DATASETS["green"], DATASETS["yellow"]
JANUARY, FEBRUARY = date(2024, 1, 1), date(2024, 2, 1)


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("create schema raw; create schema tlc")
        yield connection


def branch(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    month: date | None,
    file_key: int = 1,
    **columns: object,
) -> Branch:
    """A raw table of one row with these columns, written as DuckDB writes literals."""
    values = ", ".join(f"{value} as {DUCKDB.quote(name)}" for name, value in columns.items())
    connection.execute(f"create table raw.{table} as select {values}")
    types = connection.sql(f"describe raw.{table}").fetchall()
    return Branch(
        f"raw.{table}",
        month_sql(month),
        key_sql(file_key),
        "rowid",
        [(name, type_) for name, type_, *_ in types],
    )


def test_a_row_says_where_it_comes_from(connection: duckdb.DuckDBPyConnection) -> None:
    largest = int("f" * 15, 16)
    january = branch(connection, "a", JANUARY, largest, VendorID=1)
    february = branch(connection, "b", FEBRUARY, 2, VendorID=2)
    connection.execute("insert into raw.a values (3)")
    connection.execute(read_view_sql(GREEN, [january, february], DUCKDB))
    found = connection.sql(
        "select source_month, file_key, row_ordinal, vendorid from tlc.green_tripdata order by all"
    )
    assert found.fetchall() == [
        (JANUARY, largest, 0, 1),
        (JANUARY, largest, 1, 3),
        (FEBRUARY, 2, 0, 2),
    ]


def test_branches_of_any_types_and_spelling_are_read_as_one(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    branches = [
        branch(
            connection,
            "a",
            JANUARY,
            VendorID="1::integer",
            passenger_count="2::bigint",
            airport_fee="null::integer",
            tpep_pickup_datetime="timestamp '2024-01-01 12:00:00.000001'",
        ),
        branch(
            connection,
            "b",
            FEBRUARY,
            vendorid="1.0::double",
            Airport_fee="1.75",
            PASSENGER_COUNT="'2'",
            Tpep_Pickup_Datetime="'2024-02-01 12:00:00'",
            payment_type="7",
        ),
    ]
    connection.execute(read_view_sql(YELLOW, branches, DUCKDB))
    assert connection.sql(
        "select vendorid, passenger_count, airport_fee, tpep_pickup_datetime, payment_type,"
        " mta_tax from tlc.yellow_tripdata order by source_month"
    ).fetchall() == [
        (1, 2.0, None, datetime(2024, 1, 1, 12, 0, 0, 1), None, None),
        (1, 2.0, 1.75, datetime(2024, 2, 1, 12), "7", None),
    ]


def test_columns_that_nobody_knows_are_left_in_raw(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    odd = {'so-called "zone"': "1", "it's": "[1, 2]", "select": "{'a': 1}"}
    one = branch(connection, "a", JANUARY, VendorID=1, **odd)
    connection.execute(read_view_sql(GREEN, [one], DUCKDB))
    assert connection.sql("from tlc.green_tripdata").columns == [*ORIGIN, *GREEN.read_schema]


def test_published_names_may_need_quotes(connection: duckdb.DuckDBPyConnection) -> None:
    report = DATASETS["tlc_monthly_report"]
    one = branch(connection, "r", None, **{"Month/Year": "'2025-03'", "Trips Per Day": "'662,479'"})
    connection.execute(read_view_sql(report, [one], DUCKDB))
    assert connection.sql(
        "select source_month, month_year, trips_per_day, license_class from tlc.monthly_report"
    ).fetchall() == [(None, "2025-03", "662,479", None)]


@pytest.mark.parametrize("dataset", DATASETS.values(), ids=lambda d: d.name)
def test_over_no_version_there_are_typed_columns_and_no_rows(
    dataset, connection: duckdb.DuckDBPyConnection
) -> None:
    connection.execute(read_view_sql(dataset, [], DUCKDB))
    empty = connection.sql(f"from tlc.{dataset.view}")
    expected = {**ORIGIN} | {n: DUCKDB.types[t] for n, t in dataset.read_schema.items()}
    assert dict(zip(empty.columns, map(str, empty.types), strict=True)) == {
        name: type_.upper() for name, type_ in expected.items()
    }
    assert empty.fetchall() == []


def test_a_view_is_replaced_and_moves_no_data(connection: duckdb.DuckDBPyConnection) -> None:
    one = branch(connection, "a", JANUARY, VendorID=1)
    connection.execute(read_view_sql(GREEN, [one], DUCKDB))
    two = branch(connection, "b", FEBRUARY, VendorID=2)
    connection.execute(read_view_sql(GREEN, [one, two], DUCKDB))
    connection.execute("insert into raw.b values (3)")
    assert connection.sql("select vendorid from tlc.green_tripdata order by 1").fetchall() == [
        (1,),
        (2,),
        (3,),
    ]
    assert connection.sql("select count(*) from duckdb_tables()").fetchone() == (2,)


def test_four_hundred_versions_are_one_view(connection: duckdb.DuckDBPyConnection) -> None:
    months = [date(2000 + n // 12, n % 12 + 1, 1) for n in range(400)]
    branches = [branch(connection, f"m{n}", month, n, VendorID=n) for n, month in enumerate(months)]
    connection.execute(read_view_sql(GREEN, branches, DUCKDB))
    assert connection.sql("select count(*), sum(vendorid) from tlc.green_tripdata").fetchone() == (
        400,
        sum(range(400)),
    )
    plan = connection.sql(
        "explain (format json) from tlc.green_tripdata where source_month = date '2010-05-01'"
    ).fetchone()[1]
    assert plan.count("Sequential Scan") == 1


# --- how a file is read --------------------------------------------------------------------------

RIDES = {"Left_At": "timestamp", "riders": "bigint", "note": "text"}
CSV = [(name, "text") for name in RIDES]


def dataset(**columns: str) -> Dataset:
    """A dataset of CSV files that reads these columns as these types."""
    declared = tuple(Column(n, t, frozenset({"text"}), False) for n, t in columns.items())
    return Dataset("rides", "harbour", "{month}.csv", "csv", JANUARY, (Era(JANUARY, declared),))


@pytest.mark.parametrize("dialect", [DUCKDB, POSTGRES, SPARK])
def test_a_reading_follows_the_columns_of_the_file_that_are_read(dialect: Dialect) -> None:
    reading = reading_of(dataset(**RIDES), CSV, dialect)
    same = [
        reading_of(dataset(**RIDES, fare="double"), CSV, dialect),  # the file lacks it
        reading_of(dataset(**RIDES), [*CSV, ("unread", "text")], dialect),
        reading_of(dataset(**RIDES), CSV[::-1], dialect),
        reading_of(dataset(**dict(reversed(RIDES.items()))), CSV, dialect),
    ]
    assert set(same) == {reading}
    with_fare = [*CSV, ("fare", "text")]
    other = [
        reading_of(dataset(**RIDES | {"riders": "double"}), CSV, dialect),
        reading_of(dataset(**RIDES, fare="double"), with_fare, dialect),
        reading_of(dataset(**RIDES, fare="text"), with_fare, dialect),
        # another type in the file is cast in another way
        reading_of(dataset(**RIDES), [("riders", "int64"), *CSV[::2]], dialect),
    ]
    assert len({reading, *other}) == 5


def test_engines_that_cast_in_different_ways_have_different_readings() -> None:
    found = {reading_of(YELLOW, [("total_amount", "text")], d) for d in (DUCKDB, POSTGRES, SPARK)}
    assert len(found) == 3
