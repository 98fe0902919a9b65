"""dbt's build of a month of 3 million rows in PostgreSQL, beside the same statements by psql.

psql runs what dbt sent (see ``postgres_recorder``) in one session, one statement after another;
dbt has four connections, and its threads wait for each other only where its graph says so. What a
run of dbt takes before its first statement, to import and to parse, is printed by itself.

The server is the one that libpq's variables name; its account must be allowed to make databases
and checkpoints.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from ingestion.land import land
from ingestion.load import load
from ingestion.warehouse import connect
from ingestion.warehouse.base import Session
from tests.benchmarks.support import (
    environment,
    own_database,
    report,
    rows_of_a_month,
    settings_in,
    timed,
    write_month,
)

ROWS = rows_of_a_month(3_000_000)
ROUNDS = 3
PSQL = ("psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--output=/dev/null")


def main() -> None:
    """Print the medians."""
    if not shutil.which(PSQL[0]):
        raise SystemExit("psql is not on the path")
    with (
        tempfile.TemporaryDirectory(dir=os.environ.get("BENCHMARK_DIR")) as folder,
        own_database() as variables,
    ):
        os.environ |= variables
        place = Path(folder)
        write_month(place / "published", "yellow", date(2025, 1, 1), ROWS)
        settings = settings_in(place, place / "published", "postgres")
        land(settings)
        load(settings)
        seconds: dict[str, list[float]] = {}
        statements: list[int] = []
        with connect(settings) as session:
            kept = _schemas(session)
            _by_dbt(place)  # dbt's own cache of what it parsed
            for _ in range(ROUNDS):
                _undo(session, kept)
                begun = time.time()
                transactions = _by_dbt(place)
                whole = time.time() - begun
                first = min(t["begun"] for t in transactions)
                last = max(t["ended"] for t in transactions)
                built = _counts(session, kept)
                script = place / "replay.sql"
                statements.append(_write_script(transactions, script))
                _undo(session, kept)
                by_psql = timed(partial(_by_psql, script))
                replayed = _counts(session, kept)
                if replayed != built:
                    raise SystemExit(f"psql built something else: {built} != {replayed}")
                for name, once in {
                    "psql": by_psql,
                    "dbt, first statement to last": last - first,
                    "dbt's start-up (import and parse)": first - begun,
                    "the process of dbt": whole,
                }.items():
                    seconds.setdefault(name, []).append(once)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    report(f"transform {ROWS:,} rows in PostgreSQL, {statements[-1]} statements", medians, "psql")


def _by_dbt(place: Path) -> list[dict[str, Any]]:
    """Transform in a process of its own; what dbt sent."""
    record = place / "sent.json"
    subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.postgres_recorder", str(record)],
        env=environment(place) | {"MEDALLION_TARGET": "postgres"},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    sent: list[dict[str, Any]] = json.loads(record.read_text())
    return sent


def _write_script(transactions: list[dict[str, Any]], script: Path) -> int:
    """Write the statements for psql; how many there are."""
    statements = [s for t in transactions for s in t["statements"]]
    # a statement may end with a comment
    script.write_text("".join(f"{s}\n;\n" for s in statements))
    return len(statements)


def _by_psql(script: Path) -> None:
    # dbt's begin comes after psycopg2's own, which is worth a warning each time
    env = os.environ | {"PGOPTIONS": "-c client_min_messages=error"}
    subprocess.run([*PSQL, f"--file={script}"], env=env, check=True)


def _schemas(session: Session) -> set[str]:
    return {name for (name,) in session.query("select nspname from pg_namespace").rows}


def _undo(session: Session, kept: set[str]) -> None:
    """Drop what was built, and let the server come to rest."""
    for schema in _schemas(session) - kept:
        session.execute(f"drop schema {schema} cascade")
    session.execute("checkpoint")


def _counts(session: Session, kept: set[str]) -> dict[str, int]:
    """How many rows each table has that was built."""
    tables = session.query(
        "select n.nspname || '.' || c.relname from pg_class as c"
        " inner join pg_namespace as n on c.relnamespace = n.oid where c.relkind = 'r'"
        " order by 1"
    )
    return {
        table: session.query(f"select count(*) from {table}").rows[0][0]
        for (table,) in tables.rows
        if table.partition(".")[0] not in kept
    }


if __name__ == "__main__":
    main()
