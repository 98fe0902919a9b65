"""A raw table is equal to its file in the lake as it was loaded, and differs once changed."""

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest

from ingestion.lake.catalog import Catalog
from ingestion.land import land
from ingestion.load import load
from ingestion.settings import Settings
from ingestion.warehouse import connect
from ingestion.warehouse.compare import Compared, compare
from tests.conftest import MakeSettings
from tests.support import postgres
from tests.support.trips import publish, trips

JANUARY, FEBRUARY = dt.date(2024, 1, 1), dt.date(2024, 2, 1)
CSV_MONTH = dt.date(2014, 1, 1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with postgres.server(tmp_path_factory.mktemp("postgres")) as variables:
        yield variables


@pytest.fixture(params=["duckdb", "postgres"])
def settings(
    request: pytest.FixtureRequest,
    make_settings: MakeSettings,
    server: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Settings]:
    if request.param == "duckdb":
        yield make_settings()
        return
    with postgres.database(server) as own:
        for name, value in own.items():
            monkeypatch.setenv(name, value)
        yield make_settings(target="postgres")


@pytest.fixture
def table(published: Path, settings: Settings) -> str:
    """The raw table of a month with columns of many types; another month is beside it."""
    month = trips("green", JANUARY, rows=200)
    some = {
        "money": pa.array([Decimal("0.00"), Decimal("-1200.50"), None, Decimal("0.07")] * 50),
        "large": pa.array([2**64 - 1, 0, 10_000, None] * 50, pa.uint64()),
        "odd": pa.array([float("nan"), float("inf"), -0.0, None] * 50),
        "day": pa.array([JANUARY, None, dt.date(1, 1, 1), dt.date(9999, 12, 31)] * 50),
        "of_day": pa.array([dt.time(23, 59, 59, 999999), None, dt.time(0), dt.time(1)] * 50),
        "words": pa.array(["", None, "Zürich ☂", "a\tb"] * 50),
        "bytes": pa.array([b"", None, b"\x00\xff", b"x"] * 50),
        "numbers": pa.array([[1, None], [], None, [2]] * 50),
        "flag": pa.array([True, False, None, True] * 50),
    }
    for name, values in some.items():
        month = month.append_column(name, values)
    publish(published, "green", JANUARY, month)
    publish(published, "green", FEBRUARY, trips("green", FEBRUARY))
    land(settings)
    load(settings)
    (name,) = (v.table_name for v in Catalog(settings.lake_url).current() if v.month == JANUARY)
    return f"raw.{name}"


def changed(settings: Settings) -> list[str]:
    """The raw tables that differ from their files; both months are compared."""
    found: list[Compared] = compare(settings)
    assert [f.version.month for f in found] == [JANUARY, FEBRUARY]
    return [f.table for f in found if f.error]


def test_a_table_as_it_was_loaded_is_equal_to_its_file(settings: Settings, table: str) -> None:
    assert changed(settings) == []


@pytest.mark.parametrize(
    "statement",
    [
        "update {table} set total_amount = total_amount + 0.01 where total_amount = {one}",
        "update {table} set money = null where money = 0.07",
        "update {table} set words = 'Zurich' where words like 'Z%'",
        "delete from {table} where total_amount = {one}",
        "insert into {table} select * from {table} limit 1",
        "alter table {table} drop column flag",
        "alter table {table} add column more integer",
        # as many rows, and equal sums of every column
        "update {table} set tip_amount = tip_amount + case when total_amount = {one} then 1"
        " else -1 end where total_amount in ({one}, {other})",
    ],
)
def test_what_sql_changes_is_found(settings: Settings, table: str, statement: str) -> None:
    with connect(settings) as session:
        (one,), (other,) = session.query(
            f"select total_amount from {table} group by 1 having count(*) = 1 order by 1 limit 2"
        ).rows
        session.execute(statement.format(table=table, one=one, other=other))
    assert changed(settings) == [table]
    with connect(settings) as session:  # as the error says
        session.execute(f"drop table {table} cascade")
    load(settings)
    assert changed(settings) == []


def test_a_row_that_is_written_again_with_the_same_values_is_equal(
    settings: Settings, table: str
) -> None:
    with connect(settings) as session:
        session.execute(f"update {table} set total_amount = total_amount")
        session.execute(f"update {table} set total_amount = total_amount where money is null")
    assert changed(settings) == []


def test_damaged_files_are_left_out(settings: Settings, table: str) -> None:
    (version,) = (v for v in Catalog(settings.lake_url).current() if v.month == JANUARY)
    (found,) = compare(settings, {version.lake_path})
    assert (found.version.month, found.error) == (FEBRUARY, None)


def test_the_command_names_what_was_changed(
    settings: Settings, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from typer.testing import CliRunner

    from orchestration.cli import app

    with connect(settings) as session:
        session.execute(f"update {table} set total_amount = 7 where words = ''")
    for name in ("tlc_url", "lake_url", "duckdb_path", "work_dir", "target"):
        monkeypatch.setenv(f"MEDALLION_{name.upper()}", str(getattr(settings, name)))
    assert CliRunner().invoke(app, ["verify", "-q"]).exit_code == 0
    done = CliRunner().invoke(app, ["verify", "-q", "--warehouse"])
    assert done.exit_code == 1
    assert "1 of 2 raw tables are equal to their files" in done.output
    assert f"{table}: it differs from its file in the lake" in done.output
