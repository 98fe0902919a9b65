"""What the page Trust shows besides its figures: the ledger, examples, versions and runs."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from ingestion.errors import MedallionError
from ingestion.sources.base import name_of
from ingestion.warehouse.base import Engine, Session
from orchestration.job.explain import explain_in
from orchestration.job.verdict import held
from orchestration.site.data import plain
from orchestration.site.figures import query

COUNTS = ("file_rows", "raw_rows", "fact_rows", "valid_rows", "invalid_rows")


def balances(ledger: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The sums of the ledger by dataset, without months of which no version is in use."""
    found = []
    for dataset, rows in groupby(held(ledger), key=lambda row: row["dataset"]):
        own = list(rows)
        sums = [[row[name] for row in own if row[name] is not None] for name in COUNTS]
        found.append(
            {
                "dataset": dataset,
                "months": " to ".join(sorted({f"{own[n]['month']:%Y-%m}" for n in (0, -1)})),
                "numbers": [len(own), *(sum(values) if values else None for values in sums)],
                "is_balanced": all(row["is_balanced"] for row in own),
            }
        )
    return found


def single_balances(ledger: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The same as ``balances`` for files without a month, each on its own line."""
    return [
        {
            "dataset": row["dataset"],
            "months": "",
            "numbers": [1, row["file_rows"], row["raw_rows"], None, None, None],
            "is_balanced": row["is_balanced"],
        }
        for row in held(ledger)
    ]


def missing(ledger: Iterable[dict[str, Any]]) -> list[str]:
    """Files whose newest version is not in use, one line each."""
    return [
        f"{name_of(row['dataset'], row.get('month'))}: {row['missing_reason']}"
        for row in ledger
        if row["missing_reason"]
    ]


def examples(
    engine: Engine, session: Session, flagged: Iterable[dict[str, Any]], run_command: str
) -> list[dict[str, Any]]:
    """For each rule an example: a flagged row of the newest month that has any, and its raw row."""
    found = []
    for _, rows in groupby(flagged, key=lambda row: row["rule"]):
        newest = max(rows, key=lambda row: (row["newest_month"], row["service"]))
        parameters = [newest["service"], newest["newest_month"], newest["invalid_reason"]]
        ((trip_id,),) = session.query(query("flagged_example"), parameters).rows
        if trip_id is None:
            continue
        try:
            told = explain_in(engine, session, trip_id, run_command)
        except MedallionError:  # its raw table was dropped, or its file cannot be reached now
            continue
        found.append(
            {
                "rule": newest["rule"],
                "reason": newest["invalid_reason"].replace("_", " "),
                "meaning": newest["meaning"],
                "source": newest["source"],
                "trip_id": trip_id,
                "ordinal": told.row_ordinal,
                "file": name_of(told.dataset, told.month),
                "url": told.source_url,
                "file_id": told.file_id,
                "landed": moment(told.landed_at),
                "raw": [(name, plain(value)) for name, value in told.raw_row.items()],
            }
        )
    return found


def versions(files: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The versions of files that were published again or are in quarantine, in the given order."""
    by_file: dict[Any, list[dict[str, Any]]] = {}
    for row in files:
        # a dataset of several files has one address for each
        key = (row["dataset"], row["month"], row["source_url"] if row["month"] is None else "")
        by_file.setdefault(key, []).append(row)
    found = []
    for (dataset, month, _), own in by_file.items():
        if len(own) == 1 and own[0]["status"] == "loaded":
            continue
        for before, row in zip([None, *own], own, strict=False):
            state = "in use" if row["is_current"] else row["status"]
            found.append(
                {
                    "file": name_of(dataset, month),
                    "version": row["file_id"][:8],
                    "landed": moment(row["landed_at"]),
                    "rows": "" if row["row_count"] is None else f"{row['row_count']:,}",
                    "changed": row["error"] or (_changes(before, row) if before else "first"),
                    "state": state if state != "loaded" else "superseded",
                }
            )
    return found


def _changes(before: dict[str, Any], after: dict[str, Any]) -> str:
    was, now = _columns(before), _columns(after)
    rows = (after["row_count"] or 0) - (before["row_count"] or 0)
    retyped = sorted(name for name in was.keys() & now.keys() if was[name] != now[name])
    said = {
        f"{rows:+,} rows": rows,
        f"new columns: {', '.join(sorted(now.keys() - was.keys()))}": now.keys() - was.keys(),
        f"columns gone: {', '.join(sorted(was.keys() - now.keys()))}": was.keys() - now.keys(),
        f"other types: {', '.join(retyped)}": retyped,
    }
    return "; ".join(words for words, is_so in said.items() if is_so) or "values only"


def _columns(row: dict[str, Any]) -> dict[str, str]:
    said = row["columns"]
    pairs = json.loads(said) if isinstance(said, str) else said
    return dict(pairs)


def moment(value: Any) -> str:
    """A point in time as the pages write it."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
