"""Publish the marts of a warehouse if its tests and its ledger are good."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from ingestion.errors import MedallionError
from ingestion.progress import Progress, Quiet
from ingestion.publications.manifest import Origin, Publication
from ingestion.publications.read import current
from ingestion.publications.write import Export, Interval, Published
from ingestion.publications.write import publish as publish_exports
from ingestion.settings import Settings
from ingestion.warehouse import connect, engine_for
from ingestion.warehouse.base import Session
from orchestration.job.audit import Audit, audit
from orchestration.job.under_way import Run

# What the read-only commands need beside the marts.
REASONS = ("staging", "invalid_reasons")
ALSO = (
    ("intermediate", "dbt_invocations"),
    ("intermediate", "int_trip_months"),
    ("intermediate", "month_builds"),
    ("raw", "files"),
    REASONS,
)
COMPUTED = ("tsvector",)  # types of columns that PostgreSQL computes for its own searches
# They change with each run of dbt, also with one that changes no mart.
NO_NEWS = {("intermediate", "dbt_invocations"), ("intermediate", "month_builds")}
# What changes with the rows of a month, or of a table that is written as a whole. The record of
# such a table also has a key of its descriptions.
STATE = (
    "select table_name, definition, service, source_month, built_at,"
    " case when source_month is not null then build_key end"
    " from intermediate.month_builds where table_name like 'marts.%'",
    "select * from raw.files",
)
# The end of the name of a table that dbt builds beside the real one; a killed build leaves records.
BESIDE = "__rebuild"


class UntestedError(MedallionError):
    """The marts are not published, because they are not known to be good."""


@dataclass(frozen=True)
class _Build:
    key: str
    rows: int
    is_tested: bool


def publish(
    settings: Settings,
    result: Audit | None = None,
    run: str = "medallion publish",
    progress: Progress | None = None,
) -> Published | None:
    """Publish the marts as they are; return None if these settings publish nothing.

    ``result`` is the present audit; without it, the ledger is read. Raises ``UntestedError`` if the
    last run of dbt failed, a month was not tested, or the ledger does not balance. Readers then
    keep the previous publication.
    """
    if settings.publications_url is None:
        return None
    result = result or audit(settings)
    engine = engine_for(settings)
    # check and read one snapshot, where the engine has them: somebody may run dbt by hand meanwhile
    with engine.session(read_only=True) as session, engine.snapshot(session):
        builds = _builds(session)
        _check(session, builds, result)
        exports = _exports(session, builds)
        return publish_exports(
            settings,
            engine,
            session,
            exports,
            Origin(
                warehouse=engine.label,
                run=run,
                project_version=version("medallion"),
                state=_state(session, exports),
                versions=_versions(session),
                ledger=_verdict(result),
                metrics=progress.so_far() if isinstance(progress, Run) else {},
                file_seconds=progress.file_seconds() if isinstance(progress, Run) else {},
            ),
            lambda: _state(session, _exports(session, _builds(session))),
            progress or Quiet(),
        )


def tested_publication(settings: Settings, result: Audit) -> Publication | None:
    """The publication of the marts as they are now; None if these settings publish nothing.

    Raises ``UntestedError`` if the marts are not known to be good, or have changed since they were
    published.
    """
    with connect(settings, read_only=True) as session:
        builds = _builds(session)
        _check(session, builds, result)
        state = _state(session, _exports(session, builds))
    if settings.publications_url is None:
        return None
    found = current(settings)
    if found is None or found.origin.state != state:
        publishes = settings.run_command.replace("run", "publish", 1)
        raise UntestedError(
            f"What is published is not what the warehouse holds now; {publishes} publishes it."
        )
    return found


def _builds(session: Session) -> dict[str, dict[tuple[str, Any], _Build]]:
    """Each by_month table that readers may see with its intervals, by service and month."""
    rows = session.query(
        "select table_name, service, source_month, build_key, built_at, row_count, tested_at"
        " from intermediate.month_builds where source_month is not null"
        " order by table_name, service, source_month"
    ).rows
    found: dict[str, dict[tuple[str, Any], _Build]] = {}
    for table, service, month, build_key, built_at, count, tested_at in rows:
        if table.endswith(BESIDE):
            continue
        # an interval that was built again from the same inputs may have other rows, so the time of
        # the build is part of the key
        key = hashlib.sha256(f"{build_key} {built_at.timestamp()}".encode()).hexdigest()
        found.setdefault(table, {})[service, month] = _Build(key, count, tested_at is not None)
    return found


def _check(
    session: Session, builds: dict[str, dict[tuple[str, Any], _Build]], result: Audit
) -> None:
    last = session.query(
        "select succeeded from intermediate.dbt_invocations order by completed_at desc limit 1"
    )
    kept = "Readers keep the publication before; medallion run builds and tests what is missing."
    untested = [table for table, is_tested in _tables(session).items() if not is_tested]
    if last.rows != [(True,)]:
        raise UntestedError(f"Nothing is published: the last run of dbt failed. {kept}")
    if untested:
        raise UntestedError(
            f"Nothing is published: {', '.join(untested)} was not tested, or a test of it has"
            f" failed. {kept}"
        )
    for table, intervals in builds.items():
        for (service, month), build in intervals.items():
            if not build.is_tested and table.startswith("marts."):
                raise UntestedError(
                    f"Nothing is published: {table} of {service} {month:%Y-%m} was not tested."
                    f" {kept}"
                )
    if result.unbalanced or result.raw_changed or result.unknown:
        raise UntestedError(
            "Nothing is published: the ledger does not balance, as medallion audit shows. Readers"
            " keep the publication before."
        )


def _exports(session: Session, builds: dict[str, dict[tuple[str, Any], _Build]]) -> list[Export]:
    """The tables to publish, with the columns that every reader can have."""
    marts = _tables(session)
    columns: dict[tuple[str, str], list[str]] = {}
    for schema, name, column, kind in session.columns(("marts", "raw", "intermediate", "staging")):
        wanted = f"{schema}.{name}" in marts or (schema, name) in ALSO
        if wanted and kind not in COMPUTED:
            columns.setdefault((schema, name), []).append(column)
    return [
        Export(
            schema,
            name,
            tuple(names),
            tuple(
                Interval(service, month, build.key, build.rows)
                for (service, month), build in builds.get(f"{schema}.{name}", {}).items()
            ),
            is_news=(schema, name) not in NO_NEWS,
        )
        for (schema, name), names in columns.items()
    ]


def _tables(session: Session) -> dict[str, bool]:
    """The marts that dbt has built, and whether their tests passed last."""
    rows = session.query(
        "select table_name, tested_at is not null from intermediate.month_builds"
        " where source_month is null and table_name like 'marts.%' order by table_name"
    ).rows
    return {table: is_tested for table, is_tested in rows if not table.endswith(BESIDE)}


def _state(session: Session, exports: list[Export]) -> str:
    """A digest that changes with anything that would be published."""
    digest = hashlib.sha256(repr(exports).encode())
    statements = [*STATE]
    if REASONS in {(export.schema, export.name) for export in exports}:
        statements.append(f"select * from {'.'.join(REASONS)}")  # no build record tells of a seed
    for statement in statements:
        rows = (tuple(map(_in_utc, row)) for row in session.query(statement).rows)
        digest.update(repr(sorted(map(repr, rows))).encode())
    return digest.hexdigest()


def _in_utc(value: Any) -> Any:
    """The value; a point in time by one clock, whatever the time zone of this process."""
    return value.astimezone(UTC) if isinstance(value, datetime) and value.tzinfo else value


def _versions(session: Session) -> dict[str, dict[str, str]]:
    """The sha256 of the file versions in the facts, by dataset and month."""
    rows = session.query(
        "select dataset, month, file_id from marts.ledger where fact_rows is not null"
        " and (missing_file_id is null or missing_file_id <> file_id)"  # else it has no rows
        " order by dataset, month"
    ).rows
    found: dict[str, dict[str, str]] = {}
    for dataset, month, file_id in rows:
        found.setdefault(dataset, {})[f"{month:%Y-%m}"] = file_id
    return found


def _verdict(result: Audit) -> dict[str, Any]:
    return {
        "balances": True,
        "files": result.files,
        "rows": result.file_rows,
        "valid": result.valid_rows,
        "flagged": result.invalid_rows,
        "missing": [f"{m.name}: {m.reason}" for m in result.missing],
        "out_of_tolerance": [f"{r.service} {r.month:%Y-%m}" for r in result.out_of_tolerance],
    }
