"""Read the ledger and the reconciliation, which show that the warehouse is complete."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import groupby
from operator import attrgetter
from typing import Any, Literal

from ingestion.errors import MedallionError
from ingestion.lake.catalog import Catalog, FileVersion, file_key, name_of
from ingestion.lake.file_version import PASSED_OVER
from ingestion.schema_on_read import Dialect
from ingestion.settings import Settings
from ingestion.warehouse.base import Session, tables
from ingestion.warehouse.files_table import orphan_error
from orchestration.job.comparisons import Comparisons, read_comparisons
from orchestration.job.reading import reading

TABLES = ("fct_trips", "ledger", "ledger_reasons", "tlc_reconciliation")

SINGLE_FILES = "select * from marts.ledger_single_files order by dataset, table_name"
FACTS_NOW = (
    "select service, source_month, file_key, count(*), count(case when is_valid then 1 end)"
    " from marts.fct_trips group by service, source_month, file_key"
)
MONTHS_BUILT = (
    "select service, source_month, file_key from intermediate.month_builds"
    " where table_name = 'marts.fct_trips' and source_month is not null"
)
LAST_BUILD = "select succeeded from intermediate.dbt_invocations order by completed_at desc limit 1"
Stage = Literal["land", "load", "transform", "decided"]
Identity = tuple[str, date | None, str]  # dataset, month, sha256


@dataclass(frozen=True)
class Reconciled:
    """One service and month compared with the publisher's monthly report."""

    service: str
    month: date
    trips_per_day: float
    tlc_trips_per_day: float | None
    diff_pct: float | None
    tolerance_pct: float | None
    status: str
    known_divergence: str | None


@dataclass(frozen=True)
class File:
    """One file version in use: rows in the file, in raw and in the facts, and the valid facts.

    The last two are None for a dataset that has no facts.
    """

    dataset: str
    month: date
    file_id: str
    file_rows: int
    raw_rows: int
    fact_rows: int | None
    valid_rows: int | None

    @property
    def file_key(self) -> int:
        """The ``file_key`` of its facts."""
        return file_key(self.file_id)

    @property
    def is_balanced(self) -> bool:
        """Whether no row was lost or doubled."""
        return self.file_rows == self.raw_rows and self.fact_rows in (None, self.raw_rows)


@dataclass(frozen=True)
class SingleFile:
    """One file version in use that belongs to no month: rows in the file, and in its raw table."""

    dataset: str
    table_name: str
    file_id: str
    file_rows: int
    raw_rows: int
    is_balanced: bool


@dataclass(frozen=True)
class Missing:
    """A published file whose newest version is not in the facts, and the stage where it stopped.

    ``older_in_use`` says whether an older version is in use instead. The stage ``decided`` is no
    error: an operator has withdrawn the version, or had it forgotten. A newer one ends that.
    """

    dataset: str
    month: date | None
    file_id: str
    stage: Stage
    reason: str
    older_in_use: bool
    table_name: str  # the name of its raw table, also if it is not loaded
    still_in_use: bool = False  # it was decided so, and the warehouse does not follow yet

    @property
    def name(self) -> str:
        """What people call the file: the dataset, and the month as 2024-01."""
        return name_of(self.dataset, self.month)


@dataclass(frozen=True)
class Unbalanced:
    """A file that lost rows, or has rows twice."""

    dataset: str
    month: date | None
    file_rows: int
    raw_rows: int
    fact_rows: int | None
    table_name: str | None = None  # of a file without a month

    @property
    def name(self) -> str:
        """What people call the file: the dataset with the month, or the raw table."""
        return self.table_name or name_of(self.dataset, self.month)


@dataclass(frozen=True)
class RawChanged:
    """A raw table that was changed after it was loaded."""

    table_name: str
    loaded_rows: int
    rows: int


@dataclass(frozen=True)
class Balance:
    """The sums of the ledger for one dataset; those of facts are None if it has no facts."""

    dataset: str
    files: int
    file_rows: int
    raw_rows: int
    fact_rows: int | None
    valid_rows: int | None
    invalid_rows: int | None
    is_balanced: bool


@dataclass(frozen=True)
class Audit:
    """The sums of the ledger, its exceptions, and the reconciliation.

    The sums are those of the months. ``single_files`` are the files that belong to none.
    """

    files: int = 0
    file_rows: int = 0
    valid_rows: int = 0
    invalid_rows: int = 0
    balances: list[Balance] = field(default_factory=list)
    single_files: list[SingleFile] = field(default_factory=list)
    reasons: dict[str, int] = field(default_factory=dict)
    unbalanced: list[Unbalanced] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    passed_over: list[Missing] = field(default_factory=list)  # by a decision, and so no error
    raw_changed: list[RawChanged] = field(default_factory=list)
    unknown: str | None = None  # the error for orphans: in use, but not known to the lake
    reconciliation: list[Reconciled] = field(default_factory=list)
    comparisons: Comparisons = field(default_factory=Comparisons)

    @property
    def out_of_tolerance(self) -> list[Reconciled]:
        """Months out of tolerance whose difference is not explained in the register."""
        return [r for r in self.reconciliation if r.status == "out_of_tolerance"]

    @property
    def largest_difference(self) -> Reconciled | None:
        """The month that differs most from the publisher's report."""
        compared = [r for r in self.reconciliation if r.diff_pct is not None]
        return max(compared, key=lambda r: abs(r.diff_pct or 0), default=None)


def audit(
    settings: Settings,
    recount: bool = False,
    as_of: date | None = None,
    live: bool = True,
    say: Callable[[str], object] = lambda _: None,
) -> Audit:
    """Read the ledger and the reconciliation; raise ``MedallionError`` if they are not built.

    The ledger uses the rows that were counted when a month was loaded and built. ``recount`` counts
    all raw tables and facts again, and so also finds later changes to them. A version is missing if
    the lake's catalog knows it (with ``as_of``: knew it then) and the facts do not hold it, unless
    an operator decided so. One that is withdrawn and still in the facts is missing too. It is
    unknown, an orphan, if the warehouse shows it and the catalog does not know it.

    Without ``live``, it reads the publication while a run is under way, which ``say`` is told.
    """
    whole = Catalog(settings.lake_url)
    catalog = whole.as_of(as_of) if as_of else whole
    with reading(settings, live, say=say) as (engine, session):
        there = tables(session)
        if not {("marts", name) for name in TABLES} <= there:
            raise MedallionError(
                f"The marts are not built yet. Build them with: {settings.run_command}"
            )
        # a month without a version in use is reported as missing instead
        ledger = [
            _file(row)
            for row in session.query("select * from marts.ledger").records()
            if row.get("missing_file_id") != row["file_id"] or row["raw_rows"] or row["fact_rows"]
        ]
        # an earlier release did not make it
        has_singles = ("marts", "ledger_single_files") in there
        lines = session.query(SINGLE_FILES).records() if has_singles else []
        singles = [
            _single_file(row, row["raw_rows"])
            for row in lines
            if row["missing_file_id"] != row["file_id"] or row["raw_rows"]
        ]
        if recount:
            ledger = _recounted(ledger, session.query(FACTS_NOW).rows)
        # an account that may only read the marts cannot see these tables
        files = (
            {_identity(row): row for row in session.query("select * from raw.files").records()}
            if ("raw", "files") in there
            else None
        )
        built = (
            _built(session)
            if {("intermediate", "month_builds"), ("intermediate", "dbt_invocations")} <= there
            else None
        )
        missing = _missing(catalog, ledger, singles, files, built)
        unknown, raw_changed = None, []
        if files is not None:
            ledger += _forgotten(ledger, missing, files)
            singles = _in_use(singles, files)
            unknown = orphan_error(session, whole, engine.label)
            if recount:
                counted = _raw_rows(session, engine.dialect, files)
                ledger = [_with_raw(file, counted) for file in ledger]
                by_table = {files[identity]["table_name"]: n for identity, n in counted.items()}
                singles = [
                    _single_file(vars(s), by_table.get(s.table_name, s.raw_rows)) for s in singles
                ]
                raw_changed = _raw_changed(files, counted)
        reasons = session.query(
            "select invalid_reason, sum(invalid_rows) from marts.ledger_reasons"
            " group by invalid_reason order by 2 desc, 1"
        ).rows
        reconciliation = session.query(
            "select service, month, trips_per_day, tlc_trips_per_day, diff_pct, tolerance_pct,"
            " status, known_divergence from marts.tlc_reconciliation order by service, month"
        ).rows
        comparisons = read_comparisons(session, there)
    to_build = {(m.dataset, m.month) for m in missing if m.stage == "transform"}
    ledger.sort(key=lambda file: (file.dataset, file.month))
    balances = [
        _added_up(dataset, list(files))
        for dataset, files in groupby(ledger, key=attrgetter("dataset"))
    ]
    return Audit(
        files=sum(b.files for b in balances),
        file_rows=sum(b.file_rows for b in balances),
        valid_rows=sum(b.valid_rows or 0 for b in balances),
        invalid_rows=sum(b.invalid_rows or 0 for b in balances),
        balances=balances,
        single_files=singles,
        reasons={reason: int(rows) for reason, rows in reasons},
        unbalanced=[
            Unbalanced(f.dataset, f.month, f.file_rows, f.raw_rows, f.fact_rows)
            for f in ledger
            if not f.is_balanced and (f.dataset, f.month) not in to_build
        ]
        + [
            Unbalanced(s.dataset, None, s.file_rows, s.raw_rows, None, s.table_name)
            for s in singles
            if not s.is_balanced
        ],
        missing=[m for m in missing if m.stage != "decided"],
        passed_over=[m for m in missing if m.stage == "decided"],
        raw_changed=raw_changed,
        unknown=unknown,
        reconciliation=[Reconciled(*row) for row in reconciliation],
        comparisons=comparisons,
    )


def _file(row: dict[str, Any]) -> File:
    names = ("dataset", "month", "file_id", "file_rows", "raw_rows", "fact_rows", "valid_rows")
    return File(*(row[name] for name in names))


def _single_file(row: dict[str, Any], raw_rows: int) -> SingleFile:
    return SingleFile(
        dataset=row["dataset"],
        table_name=row["table_name"],
        file_id=row["file_id"],
        file_rows=row["file_rows"],
        raw_rows=raw_rows,
        is_balanced=row["file_rows"] == raw_rows,
    )


def _identity(row: dict[str, Any]) -> Identity:
    return row["dataset"], row["month"], row["file_id"]


def _built(session: Session) -> set[tuple[Any, ...]]:
    """Service, month and file_key of what is built.

    Empty if the last run of dbt failed: that run may have built any of them.
    """
    if session.query(LAST_BUILD).rows == [(False,)]:
        return set()
    return set(session.query(MONTHS_BUILT).rows)


def _missing(
    catalog: Catalog,
    ledger: list[File],
    singles: list[SingleFile],
    files: dict[Identity, dict[str, Any]] | None,
    built: set[tuple[Any, ...]] | None,
) -> list[Missing]:
    """Files whose newest version is not in the facts; for reference files: not loaded."""
    counted = {(f.dataset, f.month, f.file_id) for f in ledger}
    used = counted | {(s.dataset, None, s.file_id) for s in singles}
    shown = {(f.dataset, f.month) for f in ledger} | {
        (dataset, month) for (dataset, month, _), row in (files or {}).items() if row["is_current"]
    }

    def lacks(version: FileVersion) -> tuple[Stage, str] | None:
        identity: Identity = (version.dataset, version.month, version.file_id)
        row = (files or {}).get(identity)
        if version.status in PASSED_OVER:
            if row and row["is_current"]:
                return "load", version.error or ""
            if identity in used:
                return "transform", version.error or ""
            return "decided", version.error or ""
        if version.status == "quarantined":
            return "land", f"it is in quarantine: {version.error}"
        if row and row["status"] == "quarantined":
            return "load", f"it could not be loaded: {row['error']}"
        if not version.columns:  # a document: the lake is all that holds it
            return None
        if identity in counted or (row and row["is_current"] and version.month is None):
            return None
        if row and row["is_current"]:
            known = (version.dataset, version.month, version.file_key)
            is_built = built is None or known in built
            return None if is_built else ("transform", "it is loaded and not built")
        if files is None and version.month is None:
            return None
        return "load", "it is not loaded" if files is not None else "it is not in the ledger"

    found = []
    for version in catalog.versions():
        dataset, month, _ = version.key
        newest = catalog.newest(*version.key)
        is_newest = newest is not None and newest.file_id == version.file_id
        if not is_newest and version.status not in PASSED_OVER:
            continue
        lacked = lacks(version)
        still = version.status in PASSED_OVER and lacked is not None and lacked[0] != "decided"
        if lacked and (is_newest or still):
            older = (dataset, month) in shown and lacked[0] != "transform"
            found.append(
                Missing(dataset, month, version.file_id, *lacked, older, version.table_name, still)
            )
    return sorted(found, key=lambda m: (m.dataset, m.month or date.min))


def _recounted(ledger: list[File], facts: list[tuple[Any, ...]]) -> list[File]:
    """The ledger with present counts of facts, and a line for facts of files that it lacks."""
    counted = {(service, month, key): (rows, valid) for service, month, key, rows, valid in facts}
    files = []
    for file in ledger:
        if file.fact_rows is None:
            files.append(file)
            continue
        rows, valid = counted.pop((file.dataset, file.month, file.file_key), (0, 0))
        files.append(replace(file, fact_rows=rows, valid_rows=valid))
    return files + [
        File(service, month, "", 0, 0, rows, valid)
        for (service, month, _), (rows, valid) in counted.items()
    ]


def _raw_rows(
    session: Session, dialect: Dialect, files: dict[Identity, dict[str, Any]]
) -> dict[Identity, int]:
    """The present row counts of the raw tables in use; views of files are not counted."""
    there = {
        name
        for (schema, name), kind in session.relations().items()
        if (schema, kind) == ("raw", "table")
    }
    identities = [
        identity
        for identity, row in files.items()
        if row["is_current"] and row["table_name"] in there
    ]
    counts = " union all ".join(
        f"select {n}, count(*) from raw.{dialect.quote(files[identity]['table_name'])}"
        for n, identity in enumerate(identities)
    )
    return {identities[n]: rows for n, rows in session.query(counts).rows} if counts else {}


def _with_raw(file: File, counted: dict[Identity, int]) -> File:
    rows = counted.get((file.dataset, file.month, file.file_id))
    return file if rows is None else replace(file, raw_rows=rows)


def _raw_changed(
    files: dict[Identity, dict[str, Any]], counted: dict[Identity, int]
) -> list[RawChanged]:
    return [
        RawChanged(files[identity]["table_name"], files[identity]["row_count"], rows)
        for identity, rows in counted.items()
        if rows != files[identity]["row_count"]
    ]


def _forgotten(
    ledger: list[File], missing: list[Missing], files: dict[Identity, dict[str, Any]]
) -> list[File]:
    """Files that are loaded and in use, but not in the ledger."""
    known = {(f.dataset, f.month, f.file_id) for f in ledger}
    known |= {(m.dataset, m.month, m.file_id) for m in missing if m.month}
    return [
        _file(row | {"file_rows": rows, "raw_rows": rows, "fact_rows": 0, "valid_rows": 0})
        for identity, row in files.items()
        if row["is_current"] and row["month"] and identity not in known
        for rows in [row["row_count"]]
    ]


def _in_use(singles: list[SingleFile], files: dict[Identity, dict[str, Any]]) -> list[SingleFile]:
    """Those of the single files that are in use now, also if they were loaded after the build."""
    counted = {single.table_name: single.raw_rows for single in singles}
    rows = (row | {"file_rows": row["row_count"]} for row in files.values())
    found = [
        _single_file(row, counted.get(row["table_name"], row["row_count"]))
        for row in rows
        if row["is_current"] and row["month"] is None
    ]
    return sorted(found, key=attrgetter("dataset", "table_name"))


def _added_up(dataset: str, files: list[File]) -> Balance:
    facts = [f.fact_rows for f in files if f.fact_rows is not None]
    valid = [f.valid_rows for f in files if f.valid_rows is not None]
    return Balance(
        dataset,
        files=len(files),
        file_rows=sum(f.file_rows for f in files),
        raw_rows=sum(f.raw_rows for f in files),
        fact_rows=sum(facts) if facts else None,
        valid_rows=sum(valid) if facts else None,
        invalid_rows=sum(facts) - sum(valid) if facts else None,
        is_balanced=all(f.is_balanced for f in files),
    )
