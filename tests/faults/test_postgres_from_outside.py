"""PostgreSQL as others leave it to us: the next run gives what an undisturbed one would have."""

import datetime as dt
import math
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psycopg2.errors
import pytest

from ingestion.errors import MedallionError
from ingestion.land import land
from ingestion.load import load
from tests.conftest import settings_in
from tests.e2e.conftest import FACTS, MARTS, Place
from tests.faults.conftest import Tally
from tests.support.debian_postgres import DebianPostgres, debian_postgres
from tests.support.poolers import pgbouncer
from tests.support.processes import PATIENCE_SECONDS, wait_until
from tests.support.trips import ZONES, publish, trips

pytestmark = pytest.mark.slow

JANUARY, FEBRUARY = dt.date(2024, 1, 1), dt.date(2024, 2, 1)


@pytest.fixture(scope="module")
def server() -> Iterator[DebianPostgres]:
    """A PostgreSQL that asks for passwords, for the tests of this file."""
    with debian_postgres() as running:
        yield running


@pytest.fixture
def variables(server: DebianPostgres) -> Iterator[dict[str, str]]:
    """libpq's variables of a database of the test's own."""
    with server.database() as found:
        yield found


# --- a pooler in between -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "configuration"),
    [
        ("transaction", {}),
        ("transaction", {"ignore_startup_parameters": "options"}),
        ("session", {"ignore_startup_parameters": "options"}),
        ("statement", {"ignore_startup_parameters": "options,extra_float_digits"}),
    ],
    ids=["transaction", "transaction-ignoring", "session-ignoring", "statement-ignoring"],
)
def test_a_pooler_is_one_line_that_says_so(
    server: DebianPostgres,
    variables: dict[str, str],
    tmp_path: Path,
    tally: Tally,
    mode: str,
    configuration: dict[str, str],
) -> None:
    place = Place(tmp_path, {"MEDALLION_TARGET": "postgres"})
    place.published.mkdir()
    publish(place.published, "green", JANUARY, trips("green", JANUARY))
    silent = 0
    with pgbouncer(server, variables["PGDATABASE"], mode, **configuration) as pooled:
        place.env |= pooled
        for command in (("orchestration.cli", "run", "--quiet"), ("ingestion",)):
            place.run(*command, expect=2)
            (line,) = place.last_stderr.splitlines()
            is_told = "reached through a pooler" in line and "PGPORT" in line
            silent += not is_told
    made = "select count(*) from pg_namespace where nspname in ('raw', 'tlc', 'marts')"
    assert server.query(made, variables["PGDATABASE"]) == [(0,)]
    before = time.monotonic()
    place.env |= variables
    place.run("ingestion")
    rows = server.query("select count(*) from tlc.green_tripdata", variables["PGDATABASE"])
    tally(
        "PostgreSQL behind a pooler",
        times=2,
        lost=20 - rows[0][0],
        silent=silent,
        seconds=time.monotonic() - before,
    )


def test_a_pooler_is_seen_by_dbt_alone(
    server: DebianPostgres, variables: dict[str, str], tmp_path: Path, tally: Tally
) -> None:
    """It asks for nothing that a pooler would refuse when it connects."""
    place = Place(tmp_path, {"MEDALLION_TARGET": "postgres"} | variables)
    publish(place.published, "green", JANUARY, trips("green", JANUARY))
    place.run("ingestion")
    with pgbouncer(server, variables["PGDATABASE"]) as pooled:
        place.env |= pooled
        said = place.dbt(
            *("build", "--exclude-resource-types", "unit_test", "test"),
            *("--select", "+dim_zones"),
            expect=1,
        )
    told = "reached through a pooler" in " ".join(said.split())
    assert told, said
    tally("dbt build by itself behind a pooler", silent=int(not told))


# --- one lake, an undisturbed warehouse, and others that are disturbed ---------------------------

MANY_ROWS = 200_000
CUT_AFTER_BYTES = 1 << 20
Rows = dict[str, list[tuple[Any, ...]]]


@dataclass
class Team:
    """A lake with a few months, and what an undisturbed run makes of them."""

    place: Place
    server: DebianPostgres
    expected: Rows = field(default_factory=dict)

    def at(self, variables: dict[str, str]) -> Place:
        """The same lake, for another warehouse."""
        own = {"MEDALLION_WORK_DIR": str(self.place.folder / variables["PGDATABASE"])}
        return Place(self.place.folder, self.place.env | variables | own)

    def marts(self, database: str) -> Rows:
        """Every row of every mart."""
        found = {}
        for mart in MARTS:
            rows = self.server.query(f"select * from {mart}", database)
            found[mart] = sorted(rows, key=repr)
        return found

    def compared(self, database: str) -> dict[str, int]:
        """What is lost, doubled and wrong in a warehouse."""
        found, counts = self.marts(database), Counter[str]()
        for mart, expected in self.expected.items():
            extra, missing = len(found[mart]) - len(expected), 0
            if extra == 0:
                missing = sum((Counter(expected) - Counter(found[mart])).values())
            counts["doubled"] += max(extra, 0)
            counts["lost"] += max(-extra, 0)
            counts["wrong"] += missing
        return {name: counts[name] for name in ("lost", "doubled", "wrong")}


@pytest.fixture(scope="module")
def team(server: DebianPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    place = Place(tmp_path_factory.mktemp("team"), {"MEDALLION_TARGET": "postgres"})
    for month in (JANUARY, FEBRUARY):
        publish(place.published, "green", month, trips("green", month, rows=60))
    publish(place.published, "taxi_zone_lookup", None, ZONES)
    with server.database() as variables:
        team = Team(place, server)
        team.at(variables).medallion("run", "--quiet")
        team.expected = team.marts(variables["PGDATABASE"])
        assert len(team.expected[FACTS]) == 120
        yield team


OTHER_DEFAULTS = {
    "search_path": "nowhere",
    "datestyle": "'SQL, DMY'",
    "intervalstyle": "sql_standard",
    "timezone": "'Asia/Kathmandu'",
    "bytea_output": "escape",
    "standard_conforming_strings": "off",
    "default_transaction_isolation": "serializable",
    "statement_timeout": "'50ms'",
    "idle_in_transaction_session_timeout": "'50ms'",
    "idle_session_timeout": "'200ms'",
    "extra_float_digits": "-15",
    "client_encoding": "latin1",
    "row_security": "off",
    "quote_all_identifiers": "on",
    "enable_seqscan": "off",
}


@contextmanager
def other_defaults(server: DebianPostgres, database: str) -> Iterator[None]:
    """Let sessions of a database begin with settings that are not those of PostgreSQL."""
    for name, value in OTHER_DEFAULTS.items():
        server.query(f"alter database {database} set {name} = {value}")
    yield
    for name in OTHER_DEFAULTS:
        server.query(f"alter database {database} reset {name}")


def test_other_defaults_of_a_database_change_nothing(
    team: Team, variables: dict[str, str], at_length: bool, tally: Tally
) -> None:
    if not at_length:
        pytest.skip("tried with a restart under dbt")
    database, before = variables["PGDATABASE"], time.monotonic()
    with other_defaults(team.server, database):
        team.at(variables).medallion("run", "--quiet")
    tally(
        "other defaults of a database",
        times=len(OTHER_DEFAULTS),
        seconds=time.monotonic() - before,
        **team.compared(database),
    )


Fault = Callable[[DebianPostgres, int], None]


def restart(server: DebianPostgres, _pid: int) -> None:
    server.restart("immediate")


def terminate(server: DebianPostgres, pid: int) -> None:
    server.query(f"select pg_terminate_backend({pid})")


def cancel(server: DebianPostgres, pid: int) -> None:
    server.query(f"select pg_cancel_backend({pid})")


@pytest.mark.parametrize("fault", [restart, terminate, cancel], ids=lambda f: f.__name__)
def test_what_happens_to_dbt_is_told_and_mended_by_the_next_run(
    team: Team,
    variables: dict[str, str],
    tally: Tally,
    at_length: bool,
    fault: Fault,
) -> None:
    """In the short version, the database of the one that is tried has other defaults, too."""
    if fault is not restart and not at_length:
        pytest.skip("each is two runs of dbt: only with --faults")
    place, database = team.at(variables), variables["PGDATABASE"]
    before = time.monotonic()
    with nullcontext() if at_length else other_defaults(team.server, database):
        disturbed(place, team.server, database, fault)
        began = time.monotonic()
        place.medallion("run", "--quiet")
        ended = time.monotonic()
    counts = team.compared(database)
    tally(f"PostgreSQL under dbt: {fault.__name__}", silent=0, seconds=ended - began, **counts)
    if not at_length:
        tally(
            "other defaults of a database",
            times=len(OTHER_DEFAULTS),
            seconds=ended - before,
            **counts,
        )


def disturbed(place: Place, server: DebianPostgres, database: str, fault: Fault) -> None:
    """Run the job, and disturb its dbt while it waits for its turn to write the facts.

    Fails where the run does not say so in one line.
    """
    turn = f'select pg_advisory_lock(hashtextextended(\'"{database}"."marts"."fct_trips"\', 0))'
    waits = (
        f"select pid from pg_stat_activity where wait_event = 'advisory' and datname = '{database}'"
    )
    with server.connect(database) as holder:
        holder.cursor().execute(f"set idle_session_timeout = 0; {turn}")
        run = place.start("orchestration.cli", "run", "--quiet")
        wait_until(lambda: server.query(waits))
        fault(server, server.query(waits)[0][0])
    stderr = run.communicate(timeout=PATIENCE_SECONDS)[1]
    assert "Traceback" not in stderr
    lines = [line for line in stderr.splitlines() if line.startswith("error: ")]
    told = ("terminat", "closed the connection", "connection to server", "cancel")
    assert run.returncode == 1, stderr
    assert len(lines) == 1, stderr
    assert any(sign in lines[0] for sign in told), stderr


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A lake with a month that takes long enough to be disturbed."""
    place = Place(tmp_path_factory.mktemp("large"))
    publish(place.published, "green", JANUARY, trips("green", JANUARY, MANY_ROWS))
    land(settings_in(place.folder))
    return place


@contextmanager
def cut_line(server: DebianPostgres, after: int) -> Iterator[int]:
    """The port of a line to the server that breaks when so many bytes were sent at once."""
    listener = socket.create_server(("127.0.0.1", 0))

    def pump(source: socket.socket, sink: socket.socket, left: float) -> None:
        with suppress(OSError):
            while (data := source.recv(1 << 16)) and (left := left - len(data)) > 0:
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def accept() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                upstream = socket.create_connection((server.host, server.port))
                for ends in ((client, upstream, after), (upstream, client, math.inf)):
                    threading.Thread(target=pump, args=ends, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


@contextmanager
def line_is_cut(server: DebianPostgres, _database: str) -> Iterator[int]:
    with cut_line(server, CUT_AFTER_BYTES) as port:
        yield port


@contextmanager
def copy_is_stopped(server: DebianPostgres, database: str, how: str) -> Iterator[int]:
    """Stop the first COPY that is seen at work."""
    stop = (
        f"select pg_{how}_backend(pid) from pg_stat_progress_copy"
        f" where tuples_processed > 0 and datname = '{database}'"
    )

    def watch() -> None:
        with server.connect() as connection, connection.cursor() as cursor:

            def stopped() -> bool:
                cursor.execute(stop)
                return bool(cursor.fetchall())

            wait_until(stopped, pause=0.002)

    with ThreadPoolExecutor(1) as pool:
        watched = pool.submit(watch)
        yield server.port
        watched.result()


DISTURBED = {
    "connection dropped in the middle of COPY": line_is_cut,
    "COPY cancelled": partial(copy_is_stopped, how="cancel"),
    "backend of COPY terminated": partial(copy_is_stopped, how="terminate"),
}


def counted(server: DebianPostgres, database: str) -> tuple[int, int, int]:
    """The rows of the large month, its ordinals, and those that it should have."""
    ((rows, distinct, right),) = server.query(
        "select count(*), count(distinct row_ordinal), count(*) filter (where row_ordinal"
        f" between 0 and {MANY_ROWS - 1}) from tlc.green_tripdata",
        database,
    )
    return rows, distinct, right


@pytest.mark.parametrize("fault", DISTURBED)
def test_what_happens_to_a_load_is_told_and_mended_by_the_next(
    server: DebianPostgres,
    large: Place,
    variables: dict[str, str],
    tally: Tally,
    at_length: bool,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
) -> None:
    database, times = variables["PGDATABASE"], 5 if at_length else 1
    settings = settings_in(
        large.folder, target="postgres", work_dir=large.folder / f"work-{database}"
    )
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    silent, seconds, counts = 0, 0.0, Counter[str]()
    for _ in range(times):
        with DISTURBED[fault](server, database) as port:
            monkeypatch.setenv("PGPORT", str(port))
            try:
                told = bool(load(settings).failed)
            except MedallionError as exc:
                told = "\n" not in str(exc)
        # dlt may have mended it by itself, and then all of it is there
        silent += not (told or counted(server, database)[0] == MANY_ROWS)
        monkeypatch.setenv("PGPORT", variables["PGPORT"])
        before = time.monotonic()
        assert load(settings).failed == {}
        seconds = max(seconds, time.monotonic() - before)
        rows, distinct, right = counted(server, database)
        counts.update(lost=MANY_ROWS - distinct, doubled=rows - distinct, wrong=rows - right)
        server.query("drop schema raw, tlc cascade", database)
    tally(fault, times=times, silent=silent, seconds=seconds, **counts)


def test_a_deadlock_is_told_or_tried_again(
    server: DebianPostgres, variables: dict[str, str], tmp_path: Path, tally: Tally
) -> None:
    place = Place(tmp_path, {"MEDALLION_TARGET": "postgres"} | variables)
    database = variables["PGDATABASE"]
    publish(place.published, "green", JANUARY, trips("green", JANUARY))
    place.run("ingestion")
    publish(place.published, "green", JANUARY, trips("green", JANUARY, rows=30, seed=1))
    waits = (
        "select 1 from pg_stat_activity where wait_event_type = 'Lock'"
        f" and datname = '{database}' and application_name = 'medallion'"
    )
    with server.connect(database) as other, other.cursor() as cursor:
        other.autocommit = False
        # the view that the load replaces last, and then a row that it has changed before
        cursor.execute("select count(*) from tlc.green_tripdata")
        run = place.start("ingestion")
        wait_until(lambda: server.query(waits))
        with suppress(psycopg2.errors.DeadlockDetected):
            cursor.execute("update raw.files set etag = etag where dataset = 'green'")
        other.rollback()
    stderr = run.communicate(timeout=PATIENCE_SECONDS)[1]
    assert "Traceback" not in stderr
    silent = run.returncode not in (0, 1) or (run.returncode == 1 and "deadlock" not in stderr)
    before = time.monotonic()
    place.run("ingestion")
    rows = server.query("select count(*) from tlc.green_tripdata", database)[0][0]
    tally(
        "PostgreSQL finds a deadlock",
        lost=max(0, 30 - rows),
        doubled=max(0, rows - 30),
        silent=int(silent),
        seconds=time.monotonic() - before,
    )
