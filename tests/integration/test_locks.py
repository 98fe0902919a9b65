"""One run at a time at a warehouse; what a dead process held is free."""

import os
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from ingestion.errors import WarehouseBusyError
from ingestion.land import land
from ingestion.load import load
from ingestion.settings import Settings
from ingestion.warehouse import connect, engine_for
from tests.conftest import MakeSettings
from tests.support import postgres, processes
from tests.support.trips import publish, trips

JANUARY = date(2024, 1, 1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with postgres.server(tmp_path_factory.mktemp("postgres")) as variables:
        yield variables


@pytest.fixture(params=["duckdb", "postgres"])
def settings(
    request: pytest.FixtureRequest,
    server: dict[str, str],
    make_settings: MakeSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Settings]:
    """A warehouse of the test's own on each engine."""
    with postgres.database(server) as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield make_settings(target=request.param)


def hold(settings: Settings, variables: dict[str, str], held: object, let_go: object) -> None:
    """Be a run that is under way."""
    os.environ.update(variables)
    with engine_for(settings).only_run():
        held.set()  # type: ignore[attr-defined]
        let_go.wait()  # type: ignore[attr-defined]


def variables_now() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("PG")}


def test_a_second_run_is_refused_with_the_first_ones_name_until_that_is_dead(
    settings: Settings,
) -> None:
    held, let_go = processes.event(), processes.event()
    first = processes.start(hold, settings, variables_now(), held, let_go)
    assert held.wait(processes.PATIENCE_SECONDS)
    with pytest.raises(WarehouseBusyError, match=r"Another run .*pid \d+") as fault:
        engine_for(settings).only_run().__enter__()
    assert "\n" not in str(fault.value)
    processes.kill(first)

    def is_free() -> bool:
        try:
            with engine_for(settings).only_run():
                return True
        except WarehouseBusyError:
            return False  # a server takes a moment to see that a client is gone

    processes.wait_until(is_free)


def load_in(settings: Settings, variables: dict[str, str]) -> None:
    os.environ.update(variables)
    assert load(settings).failed == {}


@pytest.mark.parametrize("settings", ["postgres"], indirect=True)
def test_workers_may_be_the_first_in_a_warehouse_at_the_same_time(
    settings: Settings, published: Path
) -> None:
    publish(published, "green", JANUARY, trips("green", JANUARY, rows=10))
    land(settings)
    with connect(settings) as session:
        engine_for(settings).prepare(session)
        # a worker waits once it has found that dlt's tables are not there, and before it makes them
        session.execute(
            "create function public.wait() returns event_trigger language plpgsql as $$ begin"
            " if current_query() like '%_dlt_loads%' then"
            " perform pg_advisory_xact_lock_shared(1); end if; end $$"
        )
        session.execute(
            "create event trigger wait on ddl_command_start when tag in ('CREATE TABLE')"
            " execute function public.wait()"
        )
        session.query("select pg_advisory_lock(1)")
        workers = [processes.start(load_in, settings, variables_now()) for _ in range(2)]
        waiting = (
            "select count(*) from pg_locks where locktype = 'advisory' and not granted"
            " and database = (select oid from pg_database where datname = current_database())"
        )
        processes.wait_until(lambda: session.query(waiting).rows == [(2,)])
        session.query("select pg_advisory_unlock(1)")
        for worker in workers:
            worker.join(processes.PATIENCE_SECONDS)
    assert [worker.exitcode for worker in workers] == [0, 0]


@pytest.mark.parametrize("settings", ["postgres"], indirect=True)
def test_workers_share_the_files_of_a_run_and_none_is_loaded_twice(
    settings: Settings, published: Path
) -> None:
    months = [JANUARY.replace(month=m) for m in range(1, 9)]
    for month in months:
        publish(published, "green", month, trips("green", month, rows=20_000))
    land(settings)
    with connect(settings) as session:
        engine_for(settings).prepare(session)
        # what is loaded twice leaves a second row here
        session.execute("create table raw.loads (table_name text)")
        session.execute(
            "create function raw.note() returns trigger language plpgsql as $$ begin"
            " insert into raw.loads values (new.table_name); return new; end $$"
        )
        session.execute(
            "create trigger note after insert on raw.files for each row execute function raw.note()"
        )
    workers = [processes.start(load_in, settings, variables_now()) for _ in range(3)]
    for worker in workers:
        worker.join(processes.PATIENCE_SECONDS)
        assert worker.exitcode == 0
    with connect(settings, read_only=True) as session:
        loads = session.query("select count(*), count(distinct table_name) from raw.loads").rows
        shown = session.query("select count(*) from tlc.green_tripdata").rows
    assert loads == [(len(months), len(months))]
    assert shown == [(len(months) * 20_000,)]
