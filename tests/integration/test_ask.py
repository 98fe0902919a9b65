"""A user's query that is bounded: so many rows, so many seconds, on each engine."""

import time
from collections.abc import Iterator

import duckdb
import pytest

from ingestion.errors import UsageError, WarehouseError
from ingestion.settings import Settings
from ingestion.warehouse import connect
from ingestion.warehouse.base import Most
from orchestration.job.ask import answer, batches, within
from tests.conftest import MakeSettings
from tests.support import postgres

MOST = Most(rows=10, characters=10_000)
# a cross join that no machine finishes
ENDLESS = "select count(*) from {rows} as a, {rows} as b, {rows} as c"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with postgres.server(tmp_path_factory.mktemp("postgres")) as variables:
        yield variables


@pytest.fixture(params=["duckdb", "owner", "superuser"])
def engine(
    request: pytest.FixtureRequest,
    make_settings: MakeSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[tuple[str, Settings]]:
    """Each warehouse in turn, with one table; PostgreSQL as two accounts."""
    if request.param == "duckdb":
        settings = make_settings()
        with duckdb.connect(settings.duckdb_path) as connection:
            connection.execute("create schema marts; create table marts.trips (n int)")
        yield "duckdb", settings
        return
    server = request.getfixturevalue("server")
    with postgres.database(server) as variables:
        connection = postgres.connect(variables)
        connection.autocommit = True
        with connection, connection.cursor() as cursor:
            cursor.execute("create schema marts; create table marts.trips (n int)")
            cursor.execute("drop role if exists asker; create role asker login")
            cursor.execute("grant usage on schema marts to asker")
            cursor.execute("grant select on marts.trips to asker")
        connection.close()
        postgres.give_password(variables, "asker")
        user = {} if request.param == "superuser" else {"PGUSER": "asker"}
        for name, value in (variables | user).items():
            monkeypatch.setenv(name, value)
        yield request.param, make_settings(target="postgres")
        monkeypatch.undo()
        connection = postgres.connect(variables)
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("drop owned by asker; drop role asker")
        connection.close()


def numbers(name: str, count: int) -> str:
    return f"range({count})" if name == "duckdb" else f"generate_series(1, {count})"


def test_a_long_result_is_cut_and_a_short_one_is_not(engine: tuple[str, Settings]) -> None:
    name, settings = engine
    with connect(settings, read_only=True) as session:
        found = answer(session, f"select * from {numbers(name, 1_000_000)} as t(n)", MOST)
        assert (found.columns, len(found.rows), found.is_cut) == (["n"], MOST.rows, True)
    for count in (0, 7, MOST.rows):
        with connect(settings, read_only=True) as session:
            whole = answer(session, f"select * from {numbers(name, count)} as t(n)", MOST)
            assert (len(whole.rows), whole.is_cut) == (count, False)


def test_large_values_end_it_sooner(engine: tuple[str, Settings]) -> None:
    name, settings = engine
    with connect(settings, read_only=True) as session:
        wide = f"select repeat('x', 9000) as x from {numbers(name, 100)} as t(n)"
        found = answer(session, wide, MOST)
        assert (len(found.rows), found.is_cut) == (3, True)


def test_a_query_is_ended_when_its_time_is_over(engine: tuple[str, Settings]) -> None:
    name, settings = engine
    began = time.monotonic()
    with (
        connect(settings, read_only=True) as session,
        pytest.raises(UsageError, match=r"took more than 0\.3 seconds, and was ended"),
        within(0.3, session),
    ):
        answer(session, ENDLESS.format(rows=numbers(name, 100_000)), MOST)
    assert time.monotonic() - began < 20
    # the next one is not hindered
    with connect(settings, read_only=True) as session, within(20, session):
        assert answer(session, "select 1 as n", MOST).rows == [(1,)]


def test_a_wrong_query_in_time_has_the_engine_s_reason(engine: tuple[str, Settings]) -> None:
    _, settings = engine
    with (
        connect(settings, read_only=True) as session,
        pytest.raises(WarehouseError, match="nowhere"),
        within(20, session),
    ):
        answer(session, "select * from nowhere", MOST)


def test_show_tables_shows_tables(engine: tuple[str, Settings]) -> None:
    _, settings = engine
    for sql in ("show tables", "SHOW ALL TABLES ;"):
        with connect(settings, read_only=True) as session:
            shown = answer(session, sql, MOST)
            assert ("marts", "trips", "BASE TABLE") in shown.rows
            assert batches(session, sql).read_all().to_pylist() == shown.records()


def test_what_would_write_is_refused(engine: tuple[str, Settings]) -> None:
    _, settings = engine
    for sql in ("delete from marts.trips", "select 1; select 2", "create table marts.mine (n int)"):
        with connect(settings, read_only=True) as session, pytest.raises(WarehouseError):
            answer(session, sql, MOST)
