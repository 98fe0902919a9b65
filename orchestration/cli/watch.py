"""Check the orchestrator from outside: ``watch``."""

import sys
from typing import Annotated

import typer


def watch(
    hours: Annotated[
        float, typer.Option(min=0.0, help="A nightly run must have completed within so many hours.")
    ] = 26.0,
) -> None:
    """Check Prefect's server, its workers and the nightly runs, and send alerts.

    Run it from cron, on any machine that reaches PREFECT_API_URL. It posts each error once to
    MEDALLION_ALERT_WEBHOOK_URL, and once when it is over. While there is an error, it exits with 1.
    """
    from ingestion.errors import MedallionError
    from ingestion.settings import load_settings
    from orchestration.alerting.watch import watch as look

    try:
        # not `command`: it may start a warehouse server
        errors = look(load_settings(), hours)
    except MedallionError as exc:
        sys.stderr.write(f"error: {exc}\n")
        raise typer.Exit(exc.exit_code) from exc
    from orchestration.cli.options import end_with

    end_with(errors)
