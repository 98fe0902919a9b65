"""PostgreSQL as others leave it to us: the next run gives what an undisturbed one would have."""

import datetime as dt
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Place
from tests.faults.conftest import Tally
from tests.support.debian_postgres import DebianPostgres, debian_postgres
from tests.support.poolers import pgbouncer
from tests.support.trips import publish, trips

JANUARY = dt.date(2024, 1, 1)


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
    ],
    ids=["transaction", "transaction-ignoring", "session-ignoring"],
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
