"""The dlt pipelines by themselves: ``python -m ingestion [--dataset NAME] [--from 2024-01]``.

Lands what is published and loads what was landed, with no orchestrator and no transformer.
"""

import argparse
import io
import sys
from collections import Counter
from contextlib import suppress
from datetime import date

from ingestion.errors import MedallionError, UnreachableError, errors_of
from ingestion.lake.catalog import Catalog
from ingestion.land import LandReport, Outcome, land
from ingestion.load import LoadReport, check_lake, load
from ingestion.out_of_memory import exit_when_out_of_memory
from ingestion.progress import Lines
from ingestion.settings import Settings, dataset_names, load_settings
from ingestion.warehouse import engine_for
from ingestion.words import counted, on_one_line


@exit_when_out_of_memory()
def main(arguments: list[str] | None = None) -> int:
    """Land, then load; return the exit code."""
    try:
        names = dataset_names()
    except MedallionError as exc:
        _print_error(str(exc))
        return exc.exit_code
    parser = argparse.ArgumentParser(
        prog="python -m ingestion",
        description="Land new published files in the lake and load them into the warehouse."
        " Uses neither Prefect nor dbt.",
    )
    parser.add_argument(
        "--dataset",
        action="append",
        choices=names,
        default=[],
        help="only this dataset; may be repeated",
    )
    parser.add_argument(
        "--from", dest="start", type=_month, metavar="YYYY-MM", help="first month, included"
    )
    parser.add_argument(
        "--to", dest="end", type=_month, metavar="YYYY-MM", help="last month, included"
    )
    parser.add_argument(
        "--drop-unknown",
        action="store_true",
        help="remove from the read views the files that the lake does not know",
    )
    options = parser.parse_args(arguments)
    if options.start and options.end and options.start > options.end:
        parser.error(f"--from {options.start:%Y-%m} is after --to {options.end:%Y-%m}")
    progress = Lines(lambda line: sys.stderr.write(f"{line}\n"))
    try:
        settings = load_settings()
        with suppress(UnreachableError):  # what is published can be landed meanwhile
            engine_for(settings).check_owner()
        scope = (options.dataset, options.start, options.end)
        if not options.drop_unknown:
            check_lake(settings, Catalog(settings.lake_url))
        landed = land(settings, *scope, progress)
        for error in landed.not_asked:
            _print_error(error)
        faulty = landed.of(Outcome.QUARANTINED, Outcome.FAILED)
        for file in faulty:
            _print_error(f"{file.published.name} {file.outcome}: {file.error}")
        loaded = load(settings, *scope, None, progress, options.drop_unknown)
    except MedallionError as exc:
        for error in errors_of(exc):
            _print_error(error)
        return exc.exit_code
    sys.stderr.write(f"{_summary(settings, landed, loaded)}\n")
    for table, error in loaded.failed.items():
        _print_error(f"{table}: {error}")
    return 1 if landed.not_asked or faulty or loaded.failed else 0


def _print_error(error: str) -> None:
    sys.stderr.write(f"error: {on_one_line(error)}\n")


def _summary(settings: Settings, landed: LandReport, loaded: LoadReport) -> str:
    """One line that says what was done, even if nothing was."""
    outcomes = Counter(str(file.outcome) for file in landed.files)
    counts = ", ".join(f"{n} {outcome}" for outcome, n in outcomes.items())
    how = "read in place" if settings.raw == "in_place" else "loaded"
    return (
        f"{counted(len(landed.files), 'file')} looked at: {counts or 'nothing is published'};"
        f" {counted(len(loaded.loaded), 'version')} {how}, {counted(loaded.rows, 'row')}"
    )


def _month(text: str) -> date:
    try:
        return date.fromisoformat(f"{text}-01")
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no month; write it as 2024-01") from None


if __name__ == "__main__":
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr.reconfigure(errors="replace")
    sys.exit(main())
