"""Trace a trip back to its source: its raw row, file, version, address and rules."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from ingestion.errors import MedallionError, UsageError
from ingestion.settings import Settings
from ingestion.sources import registry
from ingestion.warehouse import engine_for
from ingestion.warehouse.base import Session, tables

ORDINALS = 10**11  # a trip_id: dataset code, year and month, then the row's ordinal in 11 digits


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


def explain(settings: Settings, trip_id: int) -> Explanation:
    """Find the raw row and the fact of one trip.

    Raises ``UsageError`` if there is no such trip. Raises ``MedallionError`` if the marts are not
    built, or the raw table was dropped.
    """
    dataset, month, ordinal = _decode(trip_id)
    engine = engine_for(settings)
    with engine.session(read_only=True) as session:
        if ("marts", "fct_trips") not in tables(session):
            raise MedallionError(
                f"The marts are not built yet. Build them with: {settings.run_command}"
            )
        fact = _one(
            session,
            "select * from marts.fct_trips where trip_id = ? and service = ? and source_month = ?",
            [trip_id, dataset, month],
        )
        if fact is None:
            raise UsageError(f"There is no trip {trip_id} in the facts ({dataset} {month:%Y-%m}).")
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
                f" Build them with: {settings.run_command}"
            )
        raw_row = _one(
            session, engine.raw_row_sql(file["table_name"], file["lake_path"]), [ordinal]
        )
        rule = _one(
            session,
            "select rule, invalid_reason, meaning, source from staging.invalid_reasons"
            " where invalid_reason = ?",
            [fact["invalid_reason"]],
        )
    return Explanation(
        trip_id, dataset, month, ordinal, raw_row=raw_row or {}, fact=fact, rule=rule, **file
    )


def _decode(trip_id: int) -> tuple[str, date, int]:
    place, ordinal = divmod(trip_id, ORDINALS)
    code, year_month = divmod(place, 10**6)
    dataset = next((d.name for d in registry.datasets().values() if d.code == code), None)
    year, month = divmod(year_month, 100)
    if dataset is None or not 1 <= month <= 12 or year < 2009:
        example = next(d for d in registry.monthly_datasets() if d.code)
        raise UsageError(
            f"{trip_id} is no trip_id: it has 18 digits, as {example.code} 202401 00000012345 for"
            f" {example.name} 2024-01."
        )
    return dataset, date(year, month, 1), ordinal


def _one(session: Session, sql: str, parameters: list[Any]) -> dict[str, Any] | None:
    return next(iter(session.query(sql, parameters).records()), None)
