"""Looking at the orchestrator from outside: ``watch``."""

import sys
from typing import Annotated

import typer


def watch(
    hours: Annotated[
        float, typer.Option(min=0.0, help="A night must have completed in the last so many hours.")
    ] = 26.0,
) -> None:
    """Tell when Prefect's server, its workers or the nightly runs are not as they should be.

    For cron, on any machine that reaches PREFECT_API_URL. Each fault is posted once to
    MEDALLION_ALERT_WEBHOOK_URL, and once when it is over. Exit code 1 while something is bad.
    """
    from ingestion.errors import MedallionError
    from ingestion.settings import load_settings
    from orchestration.alerting.watch import watch as look

    try:
        # not as other commands get theirs: this one must not start a warehouse
        faults = look(load_settings(), hours)
    except MedallionError as exc:
        sys.stderr.write(f"error: {exc}\n")
        raise typer.Exit(exc.exit_code) from exc
    from orchestration.cli.options import end_with

    end_with(faults)
