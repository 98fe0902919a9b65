"""PgBouncer, a pooler that stands before many hosted PostgreSQL servers."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import chown, which

import psycopg2
import pytest

from tests.support.debian_postgres import SERVER_USER, DebianPostgres
from tests.support.ports import free_port
from tests.support.processes import PATIENCE_SECONDS, wait_until


@contextmanager
def pgbouncer(
    server: DebianPostgres, database: str, mode: str = "transaction", **configuration: str
) -> Iterator[dict[str, str]]:
    """Run a pooler before one database; gives libpq's variables for the server's superuser."""
    program = which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("needs Debian's pgbouncer: apt-get install pgbouncer")
    port, user = free_port(), server.superuser
    values = {
        "listen_addr": "127.0.0.1",
        "listen_port": str(port),
        "unix_socket_dir": "",
        "auth_type": "plain",
        "pool_mode": mode,
        "default_pool_size": "5",
        **configuration,
    }
    with tempfile.TemporaryDirectory(prefix="medallion-pgbouncer-") as name:
        folder = Path(name)
        users = folder / "users.txt"
        users.write_text(f'"{user.name}" "{user.password}"\n')
        lines = [f"{key} = {value}" for key, value in {**values, "auth_file": users}.items()]
        (folder / "pgbouncer.ini").write_text(
            f"[databases]\n{database} = host={server.host} port={server.port}\n"
            "[pgbouncer]\n" + "\n".join(lines) + "\n"
        )
        as_root = os.geteuid() == 0
        if as_root:
            for path in (folder, users, folder / "pgbouncer.ini"):
                chown(path, SERVER_USER)
        with (folder / "log").open("wb") as log:
            pooler = subprocess.Popen(
                [program, "-q", str(folder / "pgbouncer.ini")],
                user=SERVER_USER if as_root else None,
                stdout=log,
                stderr=log,
            )
        variables = server.variables_for(user, database) | {"PGPORT": str(port)}
        try:
            wait_until(lambda: _answers(variables, pooler, folder / "log"))
            yield variables
        finally:
            pooler.terminate()
            pooler.wait(PATIENCE_SECONDS)


def _answers(variables: dict[str, str], pooler: "subprocess.Popen[bytes]", log: Path) -> bool:
    assert pooler.poll() is None, log.read_text()
    try:
        psycopg2.connect(
            host=variables["PGHOST"],
            port=variables["PGPORT"],
            user=variables["PGUSER"],
            password=variables["PGPASSWORD"],
            dbname=variables["PGDATABASE"],
        ).close()
    except psycopg2.OperationalError:
        return False
    return True
