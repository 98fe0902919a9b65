"""What goes wrong with a shared PostgreSQL: one line, nothing half-loaded, the next load goes on.

Each fault is a real one: a server that asks for passwords, crashes in the middle, or is full.
"""

import datetime as dt
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from psycopg2 import sql

from ingestion.errors import MedallionError
from ingestion.land import land
from ingestion.load import LoadReport, load
from ingestion.warehouse.postgres import engine
from tests.conftest import MakeSettings, settings_in
from tests.e2e.conftest import Place
from tests.support.debian_postgres import (
    DebianPostgres,
    Role,
    debian_postgres,
    mounted,
    own_folder,
    resize,
)
from tests.support.processes import Started, wait_until
from tests.support.trips import publish, trips

pytestmark = pytest.mark.slow

JANUARY, FEBRUARY = dt.date(2024, 1, 1), dt.date(2024, 2, 1)
# enough for a COPY to be seen at work, or to overflow a small disk
MANY_ROWS = 200_000
SMALL_DISK, ROOM_ENOUGH = "16m", "500m"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A place where nothing was done yet and nothing is published."""
    made = Place(tmp_path)
    made.published.mkdir()
    return made


@pytest.fixture
def warehouse(place: Place, variables: dict[str, str]) -> Place:
    """A place whose lake holds a small month, which is not loaded yet."""
    return with_january(place, variables)


def with_january(place: Place, variables: dict[str, str]) -> Place:
    place.env |= variables | {"MEDALLION_TARGET": "postgres"}
    landed(place, JANUARY)
    return place


def landed(place: Place, month: dt.date, rows: int = 20, seed: int = 0) -> None:
    """Publish a month and land it, at once: here is nothing to be tested."""
    publish(place.published, "green", month, trips("green", month, rows, seed))
    land(settings_in(place.folder))


def refused(place: Place, expect: int = 1, command: str = "load") -> str:
    """The line that a load ends with which cannot be done."""
    place.medallion(command, "--quiet", expect=expect)
    return fault_line(place.last_stderr)


def fault_line(stderr: str) -> str:
    lines = [line for line in stderr.splitlines() if line.startswith("error: ")]
    assert "Traceback" not in stderr, stderr
    assert len(lines) == 1, stderr
    return lines[0]


def is_named(place: Place, line: str) -> bool:
    """Whether somebody who reads the line knows where to look."""
    where = f"PostgreSQL at {place.env['PGHOST']}:{place.env['PGPORT']}"
    return any(name in line for name in (where, place.env["PGDATABASE"], "green_tripdata_2024_0"))


def raw_rows(server: DebianPostgres, database: str) -> dict[str, int]:
    """The raw tables and how many rows each holds."""
    tables = server.query(
        "select table_name from information_schema.tables where table_schema = 'raw'"
        " and table_name <> 'files' and table_name not like '\\_dlt%'",
        database,
    )
    return {
        name: server.query(
            sql.SQL("select count(*) from raw.{}").format(sql.Identifier(name)), database
        )[0][0]
        for (name,) in tables
    }


def loaded_months(server: DebianPostgres, database: str) -> dict[str, int]:
    """The rows of each month that ``raw.files`` says is loaded; it must speak the truth."""
    said = dict(server.query("select table_name, row_count from raw.files", database))
    assert said == raw_rows(server, database)
    return {name.partition("__")[0].removeprefix("green_tripdata_"): n for name, n in said.items()}


def shown_months(server: DebianPostgres, database: str) -> dict[str, int]:
    """The rows of each month that readers see."""
    return {
        f"{month:%Y_%m}": rows
        for month, rows in server.query(
            "select source_month, count(*) from tlc.green_tripdata group by 1", database
        )
    }


def load_here(place: Place) -> LoadReport:
    """Load in this process, whose imports are done: for what is not itself the fault."""
    with patch.dict(os.environ, place.env):
        return load(settings_in(place.folder, target="postgres"))


def goes_on(place: Place, server: DebianPostgres, **months: int) -> None:
    """A load by somebody who may and can now does what is left, and a second one nothing."""
    assert load_here(place).failed == {}
    expected = {month.removeprefix("m"): rows for month, rows in months.items()}
    database = place.env["PGDATABASE"]
    assert loaded_months(server, database) == expected
    assert shown_months(server, database) == expected
    assert load_here(place) == LoadReport()


# --- not let in ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def unloaded(
    server: DebianPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Place, dict[str, str]]]:
    """A place with a landed month, and a database that nobody gets into."""
    place = Place(tmp_path_factory.mktemp("unloaded"))
    place.published.mkdir()
    with server.database() as variables:
        yield with_january(place, variables), variables


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"PGPASSWORD": "not-the-password"}, "password authentication failed"),
        ({"PGPASSWORD": ""}, "no password supplied"),
        ({"PGUSER": "nobody_we_know"}, 'failed for user "nobody_we_know"'),
        ({"PGDATABASE": "nowhere"}, 'database "nowhere" does not exist'),
        ({"PGPORT": "9"}, "Connection refused"),
        ({"PGPORT": "ninety"}, "ninety"),
        ({"PGSSLMODE": "require"}, "does not support SSL"),
    ],
    ids=str,
)
def test_a_server_that_does_not_let_us_in_is_one_line_that_names_it(
    unloaded: tuple[Place, dict[str, str]],
    server: DebianPostgres,
    wrong: dict[str, str],
    reason: str,
) -> None:
    place, variables = unloaded
    place.env |= variables | {"PGSSLMODE": "prefer"} | wrong
    line = refused(place)
    assert f"PostgreSQL at {place.env['PGHOST']}:{place.env['PGPORT']}" in line
    assert f"database {place.env['PGDATABASE']}" in line
    assert reason in line
    assert "not-the-password" not in line
    assert variables["PGPASSWORD"] not in line
    made = "select schema_name from information_schema.schemata where schema_name in ('raw', 'tlc')"
    assert server.query(made, variables["PGDATABASE"]) == []


def test_a_server_that_is_down_is_one_line_and_the_next_load_goes_on(
    server: DebianPostgres, warehouse: Place
) -> None:
    server.stop()
    try:
        line = refused(warehouse)
    finally:
        server.start()
    assert is_named(warehouse, line)
    goes_on(warehouse, server, m2024_01=20)


def test_a_server_that_is_too_old_is_one_line(
    server: DebianPostgres,
    variables: dict[str, str],
    make_settings: MakeSettings,
    published: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No older release is at hand, so this one is made to be too old."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings = make_settings(target="postgres")
    publish(published, "green", JANUARY, trips("green", JANUARY))
    land(settings)
    with monkeypatch.context() as newer:
        newer.setattr(engine, "OLDEST_SERVER", 990000)
        with pytest.raises(MedallionError, match="oldest that works") as fault:
            load(settings)
    (major,) = server.query("select current_setting('server_version_num')::int / 10000")[0]
    assert f"is PostgreSQL {major}" in str(fault.value)
    assert f"PostgreSQL at {variables['PGHOST']}:{variables['PGPORT']}" in str(fault.value)
    assert "\n" not in str(fault.value)
    assert load(settings).rows == 20


# --- let in, and not allowed ---------------------------------------------------------------------


def may(place: Place, role: Role) -> None:
    place.env |= {"PGUSER": role.name, "PGPASSWORD": role.password}


def test_a_user_who_may_not_create_is_one_line_and_leaves_nothing(
    server: DebianPostgres, warehouse: Place
) -> None:
    role, database = server.role(), warehouse.env["PGDATABASE"]
    may(warehouse, role)
    line = refused(warehouse)
    assert "permission denied" in line
    assert is_named(warehouse, line)
    assert role.password not in line
    schemas = "select count(*) from information_schema.schemata where schema_name in ('raw', 'tlc')"
    assert server.query(schemas, database) == [(0,)]
    server.query(f"grant create on database {database} to {role.name}")
    goes_on(warehouse, server, m2024_01=20)


def test_a_user_who_may_only_read_is_one_line_and_changes_nothing(
    server: DebianPostgres, warehouse: Place
) -> None:
    database = warehouse.env["PGDATABASE"]
    load_here(warehouse)
    landed(warehouse, FEBRUARY)
    role = server.role()
    for schema in ("raw", "tlc"):
        server.query(
            f"grant usage on schema {schema} to {role.name};"
            f" grant select on all tables in schema {schema} to {role.name}",
            database,
        )
    may(warehouse, role)
    line = refused(warehouse)
    assert "permission denied" in line
    assert is_named(warehouse, line)
    assert loaded_months(server, database) == {"2024_01": 20}
    assert shown_months(server, database) == {"2024_01": 20}
    may(warehouse, server.superuser)
    goes_on(warehouse, server, m2024_01=20, m2024_02=20)


def test_a_database_that_is_read_only_is_one_line_that_says_so(
    server: DebianPostgres, warehouse: Place
) -> None:
    """As a standby is, or a database whose owner has closed it for an hour."""
    database = warehouse.env["PGDATABASE"]
    server.query(f"alter database {database} set default_transaction_read_only = on")
    line = refused(warehouse)
    assert is_named(warehouse, line)
    assert "read-only" in line
    server.query(f"alter database {database} reset default_transaction_read_only")
    goes_on(warehouse, server, m2024_01=20)


# --- a disk that is full -------------------------------------------------------------------------


def test_a_full_tablespace_is_one_line_and_the_next_load_goes_on(
    server: DebianPostgres, place: Place
) -> None:
    folder = own_folder(server, "small")
    with mounted(folder, SMALL_DISK), ExitStack() as at_the_end:
        server.query(f"create tablespace small location '{folder}'")
        at_the_end.callback(server.query, "drop tablespace small")
        variables = at_the_end.enter_context(server.database())
        database = variables["PGDATABASE"]
        server.query(f"alter database {database} set default_tablespace = small")
        with_january(place, variables)
        landed(place, FEBRUARY, MANY_ROWS)
        line = refused(place)
        assert "No space left" in line
        assert "green_tripdata_2024_02" in line
        # the small month beside it fits, and is there
        assert loaded_months(server, database) == {"2024_01": 20}
        assert shown_months(server, database) == {"2024_01": 20}
        resize(folder, ROOM_ENOUGH)
        goes_on(place, server, m2024_01=20, m2024_02=MANY_ROWS)


def test_a_server_that_gives_up_for_want_of_room_is_one_line_and_the_next_load_goes_on(
    place: Place,
) -> None:
    """Without room for its log of changes PostgreSQL crashes, and hardly comes back by itself."""
    with debian_postgres(log_disk=SMALL_DISK) as server:
        variables = server.variables
        with_january(place, variables)
        load_here(place)
        landed(place, FEBRUARY, MANY_ROWS)
        assert is_named(place, refused(place))
        resize(server.wal, ROOM_ENOUGH)
        if server.is_running:
            server.stop("immediate")
        server.start()
        assert loaded_months(server, variables["PGDATABASE"]) == {"2024_01": 20}
        goes_on(place, server, m2024_01=20, m2024_02=MANY_ROWS)


# --- in the middle of a load ---------------------------------------------------------------------


@contextmanager
def loading(place: Place) -> Iterator[Started]:
    """A load in a process of its own, which is not left standing about."""
    process = place.start("orchestration.cli", "load", "--quiet")
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_server_that_crashes_while_rows_are_copied_is_one_line_and_the_next_load_goes_on(
    server: DebianPostgres, warehouse: Place
) -> None:
    load_here(warehouse)
    landed(warehouse, FEBRUARY, MANY_ROWS)
    with loading(warehouse) as process:
        with server.connect() as watcher, watcher.cursor() as cursor:
            wait_until(lambda: copying(cursor), pause=0.005)
            # so that it is in the middle still when the server dies
            process.send_signal(signal.SIGSTOP)
            assert copying(cursor)
        assert_a_crash_is_told(server, warehouse, process)
    goes_on(warehouse, server, m2024_01=20, m2024_02=MANY_ROWS)


def test_a_server_that_crashes_before_the_evidence_is_written_is_one_line_and_the_next_goes_on(
    server: DebianPostgres, warehouse: Place
) -> None:
    """All rows are there and none is committed: the row that proves them waits for a lock."""
    load_here(warehouse)
    landed(warehouse, FEBRUARY)
    with server.connect(warehouse.env["PGDATABASE"]) as holder, holder.cursor() as cursor:
        cursor.execute("begin; lock table raw.files in share mode")
        with loading(warehouse) as process:
            wait_until(lambda: waiting(server))
            process.send_signal(signal.SIGSTOP)
            assert_a_crash_is_told(server, warehouse, process)
    goes_on(warehouse, server, m2024_01=20, m2024_02=20)


def copying(cursor: Any) -> bool:
    cursor.execute("select count(*) from pg_stat_progress_copy where tuples_processed > 0")
    return bool(cursor.fetchone()[0])


def waiting(server: DebianPostgres) -> bool:
    return bool(server.query("select 1 from pg_stat_activity where wait_event_type = 'Lock'"))


def assert_a_crash_is_told(server: DebianPostgres, place: Place, process: Started) -> None:
    """Let the server crash and come back under a load that stands still, and then goes on."""
    server.restart("immediate")
    database = place.env["PGDATABASE"]
    assert loaded_months(server, database) == {"2024_01": 20}
    assert shown_months(server, database) == {"2024_01": 20}
    process.send_signal(signal.SIGCONT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 1, stdout + stderr
    # dlt's second attempt may have loaded the month meanwhile, and then all of it
    loaded_months(server, database)
    line = fault_line(stderr)
    assert is_named(place, line), line


def test_a_read_view_that_somebody_reads_for_long_is_one_line_and_the_next_load_shows_it(
    server: DebianPostgres, warehouse: Place
) -> None:
    database = warehouse.env["PGDATABASE"]
    load_here(warehouse)
    landed(warehouse, JANUARY, rows=30, seed=1)
    warehouse.env["PGOPTIONS"] = "-c lock_timeout=200ms"
    with server.connect(database) as reader, reader.cursor() as cursor:
        cursor.execute("set application_name = 'dashboard'")
        cursor.execute("begin; select count(*) from tlc.green_tripdata")
        line = refused(warehouse)
        assert "tlc.green_tripdata could not be replaced" in line
        who = f"pid {reader.get_backend_pid()} ({server.superuser.name}, dashboard, since 20"
        assert f"is held by {who}" in line
        assert "pg_terminate_backend" in line
        # the reader goes on with what it began with
        cursor.execute("select count(*) from tlc.green_tripdata")
        assert cursor.fetchone() == (20,)
        cursor.execute("rollback")
    load_here(warehouse)
    assert shown_months(server, database) == {"2024_01": 30}
    assert server.query("select row_count from raw.files where is_current", database) == [(30,)]


def test_a_reader_who_ends_in_time_is_waited_for(server: DebianPostgres, warehouse: Place) -> None:
    """Readers that come meanwhile are not made to wait as long."""
    database = warehouse.env["PGDATABASE"]
    load_here(warehouse)
    landed(warehouse, JANUARY, rows=30, seed=1)
    warehouse.env["PGOPTIONS"] = "-c lock_timeout=500ms"
    count = "select count(*) from tlc.green_tripdata"
    with server.connect(database) as reader, reader.cursor() as cursor:
        cursor.execute(f"begin; {count}")
        with loading(warehouse) as process:
            wait_until(lambda: waiting(server), pause=0.01)
            # lets another reader through, behind whom it would else wait for the first
            assert server.query(count, database) == [(20,)]
            cursor.execute("rollback")
            assert process.wait(60) == 0, process.communicate()
    assert shown_months(server, database) == {"2024_01": 30}
