"""A deadline ends what Prefect's own timeouts cannot interrupt."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingestion.settings import PROJECT_ROOT
from tests.support import postgres
from tests.support.processes import wait_until

pytestmark = pytest.mark.slow

WORK = """
import sys
import psycopg2
from orchestration.flow import deadline

deadline.GRACE_SECONDS = 0.0
connection = psycopg2.connect("")
connection.autocommit = True
with deadline.deadline(0.5, "waiting for the server"):
    connection.cursor().execute(sys.argv[1])
print("came to its end")
"""


@pytest.fixture
def variables(tmp_path: Path) -> Iterator[dict[str, str]]:
    with postgres.server(tmp_path / "postgres") as server, postgres.database(server) as own:
        yield own


def at_work(variables: dict[str, str], sql: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", WORK, sql],
        cwd=PROJECT_ROOT,
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_driver_that_waits_for_its_server_is_ended(variables: dict[str, str]) -> None:
    done = at_work(variables, "select pg_sleep(60)")
    assert done.returncode == 124
    assert "waiting for the server was still at work after" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_ends_in_time_goes_on(variables: dict[str, str]) -> None:
    done = at_work(variables, "select 1")
    assert (done.returncode, done.stdout) == (0, "came to its end\n")


def test_what_was_not_committed_is_not_there(variables: dict[str, str]) -> None:
    connection = postgres.connect(variables)
    with connection.cursor() as cursor:
        cursor.execute("create table made (a int)")
        at_work(variables, "begin; insert into made values (1); select pg_sleep(2)")
        busy = "select count(*) from pg_stat_activity where datname = current_database()"

        def is_alone() -> bool:
            cursor.execute(busy)
            return bool(cursor.fetchone() == (1,))

        wait_until(is_alone)
        cursor.execute("select count(*) from made")
        assert cursor.fetchone() == (0,)
    connection.close()
