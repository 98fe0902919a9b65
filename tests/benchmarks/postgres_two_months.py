"""Loading two months of 3 million rows into PostgreSQL, which two workers do, beside loading one.

The server is the one that libpq's variables name; its account must be allowed to make databases
and checkpoints.
"""

import os
import tempfile
from datetime import date
from pathlib import Path

from ingestion.land import land
from ingestion.load import load
from ingestion.warehouse import connect
from ingestion.warehouse.base import Session
from tests.benchmarks.support import (
    own_database,
    report,
    rows_of_a_month,
    settings_in,
    side_by_side,
    write_month,
)

ROWS = rows_of_a_month(3_000_000)
MONTHS = (date(2025, 1, 1), date(2025, 2, 1))


def main() -> None:
    """Print the medians."""
    with (
        tempfile.TemporaryDirectory(dir=os.environ.get("BENCHMARK_DIR")) as folder,
        own_database() as variables,
    ):
        os.environ |= variables
        root = Path(folder)
        for month in MONTHS:
            write_month(root / "published", "yellow", month, ROWS)
        settings = settings_in(root / "place", root / "published", "postgres")
        land(settings)
        load(settings)  # the imports
        with connect(settings) as session:
            medians = side_by_side(
                {
                    "one month": lambda: load(settings, end=MONTHS[0]),
                    "two months": lambda: load(settings),
                },
                before=lambda: _clear(session),
            )
        report(f"load months of {ROWS:,} rows into PostgreSQL", medians, "one month")


def _clear(session: Session) -> None:
    session.execute("drop schema raw cascade; drop schema tlc cascade")
    session.execute("checkpoint")


if __name__ == "__main__":
    main()
