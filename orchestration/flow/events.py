"""The events that a run emits besides its state; the automations send alerts for them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from prefect.events import emit_event

from orchestration.flow import runs

QUARANTINED = "medallion.file.quarantined"
ODD = "medallion.file.odd"
UNBALANCED = "medallion.ledger.unbalanced"
STALE = "medallion.source.stale"
# not an error: it says that STALE is over
FRESH = "medallion.source.fresh"


def quarantined(file: str, reason: str) -> None:
    """Say that a published file cannot be trusted."""
    _emit(
        QUARANTINED,
        file,
        what=f"{file} is in quarantine: {reason}",
        next="Every run tries it again. If it stays, see docs/troubleshooting.md.",
    )


def odd(file: str, remarks: Sequence[str]) -> None:
    """Say that a file was accepted although it differs from its schema or its last version."""
    _emit(
        ODD,
        file,
        what=f"{file} was accepted and is odd: {'; '.join(remarks)}",
        next="See what changed: medallion history. Its rows are in the marts.",
    )


def unbalanced(errors: list[str], place: str) -> None:
    """Say that rows were lost or doubled."""
    _emit(
        UNBALANCED,
        place,
        what=f"The ledger does not balance: {'; '.join(errors[:5])}",
        next="Run medallion audit, and see docs/troubleshooting.md.",
    )


def source_stale(silence: str) -> None:
    """Say that a dataset has had no new month for too long."""
    _emit(
        STALE,
        silence.partition(":")[0],
        what=f"No new month: {silence}",
        next="Look at the publisher's page for a delay or for new addresses."
        " MEDALLION_STALE_AFTER_DAYS sets how many days are too long.",
    )


def sources_fresh() -> None:
    """Say that no dataset is overdue now; this ends an earlier alert."""
    _emit(FRESH, "publisher", what="Every dataset has new months", next="Nothing.")


def _emit(event: str, where: str, **payload: Any) -> None:
    run = runs.current()
    flow_run = {
        "prefect.resource.id": f"prefect.flow-run.{run}",
        "prefect.resource.role": "flow-run",
    }
    emit_event(
        event,
        resource={"prefect.resource.id": f"{event}.{where}", "prefect.resource.name": where},
        related=[flow_run] if run else [],
        payload={"where": where, "since": datetime.now(UTC).isoformat(), **payload},
    )
