"""Trace a trip back to its source: its raw row, file, version, address and rules."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from ingestion.errors import MedallionError, UsageError
from ingestion.settings import Settings
from ingestion.warehouse.base import Engine, Session, tables
from orchestration.job.reading import reading

TRIP_MONTHS = "int_trip_months"  # the first trip_id of each service and month


@dataclass(frozen=True)
class Explanation:
    """One trip: its position, its file, its raw row, its fact, and the rule that it breaks."""

    trip_id: int
    dataset: str
    month: date
    row_ordinal: int
    file_id: str
    source_url: str
    lake_path: str
    landed_at: datetime
    table_name: str
    raw_row: dict[str, Any]
    fact: dict[str, Any]
    rule: dict[str, Any] | None


def explain(
    settings: Settings, trip_id: int, say: Callable[[str], object] = lambda _: None
) -> Explanation:
    """Find the raw row and the fact of one trip.

    While a run is under way, the publication and the lake are read; ``say`` is then called with the
    name of the publication. Raises ``UsageError`` if there is no such trip. Raises
    ``MedallionError`` if the marts are not built, or the raw table was dropped.
    """
    with reading(settings, say=say) as (engine, session):
        check_built(session, settings.run_command)
        return explain_in(engine, session, trip_id, settings.run_command)


def check_built(session: Session, run_command: str) -> None:
    """Raise ``MedallionError`` where there are no facts yet."""
    if not {("marts", "fct_trips"), ("intermediate", TRIP_MONTHS)} <= tables(session):
        raise MedallionError(f"The marts are not built yet. Build them with: {run_command}")


def explain_in(engine: Engine, session: Session, trip_id: int, run_command: str) -> Explanation:
    """The same as ``explain``, in an open warehouse or publication whose marts are built."""
    # only the warehouse knows which trip_ids a month has
    place = _one(
        session,
        "select service, source_month, ? - first_trip_id as ordinal"
        f" from intermediate.{TRIP_MONTHS} where first_trip_id <= ?"
        " order by first_trip_id desc limit 1",
        [trip_id, trip_id],
    )
    if place is None:
        raise UsageError(f"There is no trip {trip_id} in the facts.")
    dataset, month, ordinal = place.values()
    fact = _one(
        session,
        "select * from marts.fct_trips where trip_id = ? and service = ? and source_month = ?",
        [trip_id, dataset, month],
    )
    if fact is None:
        raise UsageError(f"There is no trip {trip_id} in the facts.")
    file = _one(
        session,
        "select file_id, source_url, lake_path, landed_at, table_name from raw.files"
        " where dataset = ? and month = ? and file_key = ?",
        [dataset, month, fact["file_key"]],
    )
    if file is None:
        raise MedallionError(
            f"The raw table that trip {trip_id} was built from is gone: {dataset}"
            f" {month:%Y-%m} has a newer version, which the facts do not show yet."
            f" Build them with: {run_command}"
        )
    raw_row = _one(session, engine.raw_row_sql(file["table_name"], file["lake_path"]), [ordinal])
    rule = _one(
        session,
        "select rule, invalid_reason, meaning, source from staging.invalid_reasons"
        " where invalid_reason = ?",
        [fact["invalid_reason"]],
    )
    return Explanation(
        trip_id, dataset, month, ordinal, raw_row=raw_row or {}, fact=fact, rule=rule, **file
    )


def _one(session: Session, sql: str, parameters: list[Any]) -> dict[str, Any] | None:
    return next(iter(session.query(sql, parameters).records()), None)
