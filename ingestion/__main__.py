"""The dlt pipelines by themselves: ``python -m ingestion [--dataset green] [--from 2024-01]``.

Lands what is published and loads what was landed, with no orchestrator and no transformer.
"""

import argparse
import sys
from datetime import date

from ingestion.datasets import DATASETS
from ingestion.errors import MedallionError
from ingestion.lake import Outcome, land
from ingestion.progress import Lines
from ingestion.settings import load_settings
from ingestion.warehouse import load


def main(arguments: list[str] | None = None) -> int:
    """Land, then load; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m ingestion", description=__doc__)
    parser.add_argument("--dataset", action="append", choices=list(DATASETS), default=[])
    parser.add_argument("--from", dest="start", type=_month, metavar="YYYY-MM")
    parser.add_argument("--to", dest="end", type=_month, metavar="YYYY-MM")
    options = parser.parse_args(arguments)
    progress = Lines(lambda line: sys.stderr.write(f"{line}\n"))
    try:
        settings = load_settings()
        scope = (options.dataset, options.start, options.end)
        landed = land(settings, *scope, progress)
        loaded = load(settings, *scope, None, progress)
    except MedallionError as exc:
        sys.stderr.write(f"error: {exc}\n")
        return exc.exit_code
    faulty = landed.of(Outcome.QUARANTINED, Outcome.FAILED)
    for file in faulty:
        sys.stderr.write(f"error: {file.published.name} {file.outcome}: {file.error}\n")
    for table, error in loaded.failed.items():
        sys.stderr.write(f"error: {table}: {error}\n")
    return 1 if faulty or loaded.failed else 0


def _month(text: str) -> date:
    return date.fromisoformat(f"{text}-01")


if __name__ == "__main__":
    sys.exit(main())
