"""The versions of one published file, and what changed from one to the next.

The catalog knows columns, types and row counts. Sums, pickups and the rows that differ are read
from the versions' files under the dataset's read schema. So a column's other type or other spelling
does not count as a changed value.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime

import duckdb

from ingestion.errors import MedallionError, first_line
from ingestion.lake.catalog import Catalog, FileVersion
from ingestion.lake.decision import Decision
from ingestion.lake.reading.attach import attach_lake
from ingestion.lake.reading.files import branches
from ingestion.lake.row_diff import RowChanges, row_changes
from ingestion.progress import Progress, Quiet
from ingestion.schema_on_read import DUCKDB, rows_sql
from ingestion.settings import Settings
from ingestion.sources import registry
from ingestion.sources.base import Column, Dataset, Era
from ingestion.sources.read_types import read_type_of, widest

# The columns, by read name, that identify what a row is about. Two rows that agree on those of them
# that both versions have are about the same trip (or zone, or month of the report).
PICKUPS = (
    "tpep_pickup_datetime",
    "lpep_pickup_datetime",
    "pickup_datetime",
    "trip_pickup_datetime",
)
IDENTITY = (
    *PICKUPS,
    *("tpep_dropoff_datetime", "lpep_dropoff_datetime", "dropoff_datetime"),
    *("trip_dropoff_datetime", "pulocationid", "dolocationid"),
    *("start_lon", "start_lat", "end_lon", "end_lat"),
    *("pickup_longitude", "pickup_latitude", "dropoff_longitude", "dropoff_latitude"),
    *("hvfhs_license_num", "dispatching_base_num"),
    *("locationid", "month_year", "license_class"),
)
COUNTED_TO = "1e15"  # miles or USD; larger values, and NaN, are left out of sums
NUMBERS = ("bigint", "double", "decimal")  # read types that can be summed
DISTANCES = ("trip_distance", "trip_miles")  # miles
MONEY = (  # USD
    *("fare_amount", "fare_amt", "base_passenger_fare", "extra", "surcharge", "mta_tax"),
    *("tip_amount", "tip_amt", "tips", "tolls_amount", "tolls_amt", "tolls", "ehail_fee"),
    *("improvement_surcharge", "congestion_surcharge", "airport_fee", "cbd_congestion_fee"),
    *("bcf", "sales_tax", "driver_pay", "total_amount", "total_amt"),
)


@dataclass(frozen=True)
class Figures:
    """The sums of one version (miles, and USD to the cent, by read name) and its pickups."""

    rows: int
    first_pickup: datetime | None
    last_pickup: datetime | None
    sums: dict[str, float | None]


@dataclass(frozen=True)
class Changes:
    """What changed from the previous trusted version to this one.

    Columns and types are by published name, sums and rows by read name.
    """

    since: str  # file_id of the previous version
    bytes: int  # new minus old
    columns_new: list[str] = field(default_factory=list)
    columns_gone: list[str] = field(default_factory=list)
    columns_renamed: dict[str, str] = field(default_factory=dict)
    types: dict[str, tuple[str, str]] = field(default_factory=dict)
    sums: dict[str, float] = field(default_factory=dict)  # new minus old, where they differ
    rows: RowChanges | None = None  # none if either version could not be read


@dataclass(frozen=True)
class Version:
    """One file version; ``changes`` compare it with the previous trusted version.

    ``decisions`` are what operators decided about it, oldest first.
    """

    version: FileVersion
    is_current: bool
    figures: Figures | None = None
    changes: Changes | None = None
    # why the lake's bytes could not be read; so called in the JSON of medallion history
    fault: str | None = None
    decisions: tuple[Decision, ...] = ()


def history(settings: Settings, dataset: str, month: date | None) -> list[FileVersion]:
    """Every version of one published file, in the order of first landing; reads no file."""
    return _versions(Catalog(settings.lake_url), dataset, month)


def _versions(catalog: Catalog, dataset: str, month: date | None) -> list[FileVersion]:
    return [v for v in catalog.versions() if (v.dataset, v.month) == (dataset, month)]


def compare(
    settings: Settings, dataset: str, month: date | None, progress: Progress | None = None
) -> list[Version]:
    """Every version of one published file, oldest first, with its figures and its changes.

    Each version is read once for its figures and twice for each comparison. One in quarantine is
    not read, and no version is compared with one that is withdrawn. A version that cannot be read
    has a ``fault`` in place of figures. ``MEDALLION_DUCKDB_MEMORY_LIMIT`` limits memory; the rest
    spills into the work folder.
    """
    progress = progress or Quiet()
    catalog = Catalog(settings.lake_url)
    landings = _versions(catalog, dataset, month)
    readable = [v for v in landings if v.status in ("landed", "withdrawn")]
    current = {v.file_id for v in catalog.current() if (v.dataset, v.month) == (dataset, month)}
    progress.stage("compare", len(readable), sum(v.bytes for v in readable))
    found: list[Version] = []
    before: Version | None = None
    read_as = registry.datasets()[dataset]
    if not read_as.declares_columns:
        read_as = read_as.with_columns(v.columns for v in readable)
    with _scratch(settings) as connection:
        for landing in landings:
            of_it = (x for x in catalog.decisions if x.key == landing.key)
            decisions = tuple(x for x in of_it if x.file_id == landing.file_id)
            version = Version(landing, landing.file_id in current, decisions=decisions)
            if landing in readable:
                version = _read(settings, connection, read_as, version, before)
                before = version if landing.status == "landed" else before
                progress.advance(landing.bytes)
                progress.file_done(landing.table_name, version.fault or "read", landing.row_count)
            found.append(version)
    return found


@contextmanager
def _scratch(settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    """An in-memory database that spills into its own folder."""
    try:
        settings.work_dir.mkdir(parents=True, exist_ok=True)
        with (
            tempfile.TemporaryDirectory(prefix="compare-", dir=settings.work_dir) as folder,
            duckdb.connect(
                config={
                    "memory_limit": settings.duckdb_memory_limit,
                    "temp_directory": folder,
                    "preserve_insertion_order": False,
                }
            ) as connection,
        ):
            attach_lake(connection, settings.lake_url)
            yield connection
    except OSError as exc:
        raise MedallionError(f"Cannot write to {settings.work_dir}: {exc.strerror}.") from exc


def _read(
    settings: Settings,
    connection: duckdb.DuckDBPyConnection,
    dataset: Dataset,
    version: Version,
    before: Version | None,
) -> Version:
    landing = version.version
    changes = schema_changes(before.version, landing) if before else None
    try:
        version = replace(version, figures=_figures(settings, connection, dataset, landing))
        if before and before.figures and version.figures and changes:
            changes = replace(
                changes,
                sums=_differences(before.figures, version.figures),
                rows=_rows(settings, connection, dataset, before.version, landing),
            )
    except duckdb.OutOfMemoryException as exc:
        raise MedallionError(
            f"{landing.name} could not be compared: {first_line(exc)}."
            f" Raise MEDALLION_DUCKDB_MEMORY_LIMIT, or make room in {settings.work_dir}."
        ) from exc
    except (duckdb.Error, OSError) as exc:
        fault = (
            f"{landing.name}, {landing.lake_path} cannot be read from the lake:"
            f" {first_line(exc)}. Restore it from a backup; medallion verify says what else is"
            " damaged."
        )
        return replace(version, changes=changes, fault=fault)
    return replace(version, changes=changes)


def schema_changes(before: FileVersion, after: FileVersion) -> Changes:
    """The differences of two versions that the catalog knows: bytes, columns and types."""
    dataset = registry.datasets()[after.dataset]
    old, new = (
        {dataset.read_name(name): (name, file_type) for name, file_type in landing.columns}
        for landing in (before, after)
    )
    both = [name for name in new if name in old]
    return Changes(
        since=before.file_id,
        bytes=after.bytes - before.bytes,
        columns_new=[new[name][0] for name in new if name not in old],
        columns_gone=[old[name][0] for name in old if name not in new],
        columns_renamed={
            old[name][0]: new[name][0] for name in both if old[name][0] != new[name][0]
        },
        types={
            new[name][0]: (old[name][1], new[name][1])
            for name in both
            if old[name][1] != new[name][1]
        },
    )


def _select(settings: Settings, dataset: Dataset, landing: FileVersion) -> str:
    """The select that reads one version's file in place, under the dataset's read schema."""
    return rows_sql(dataset, branches(settings.lake_url, [landing]), DUCKDB)


def _figures(
    settings: Settings,
    connection: duckdb.DuckDBPyConnection,
    dataset: Dataset,
    landing: FileVersion,
) -> Figures:
    held = _names(landing) & dataset.read_schema.keys()
    summed = [
        n for n in (*DISTANCES, *MONEY) if n in held and dataset.read_schema[n].startswith(NUMBERS)
    ]
    pickup = next((DUCKDB.quote(name) for name in PICKUPS if name in held), "null")
    # The sum of a million fares as doubles is exact to the cent in any order. One NaN or one absurd
    # amount would drown all other values, so those are left out.
    sums = "".join(
        f", round(fsum({name}) filter (abs({name}) < {COUNTED_TO}), 2)"
        for name in map(DUCKDB.quote, summed)
    )
    row = connection.execute(
        f"select count(*), min(try_cast({pickup} as timestamp)),"
        f" max(try_cast({pickup} as timestamp)){sums}"
        f" from ({_select(settings, dataset, landing)})"
    ).fetchone()
    assert row is not None, "an aggregate gives one row"
    rows, first, last, *totals = row
    return Figures(rows, first, last, dict(zip(summed, totals, strict=True)))


def _differences(before: Figures, after: Figures) -> dict[str, float]:
    differences = {
        name: round((after.sums[name] or 0) - (before.sums[name] or 0), 2)
        for name in after.sums
        if name in before.sums
    }
    return {name: difference for name, difference in differences.items() if difference}


def _rows(
    settings: Settings,
    connection: duckdb.DuckDBPyConnection,
    dataset: Dataset,
    before: FileVersion,
    after: FileVersion,
) -> RowChanges:
    held = _names(before) & _names(after)
    dataset = _with_unknown(dataset, before, after)
    columns = [name for name in dataset.read_schema if name in held]
    identity = [name for name in IDENTITY if name in columns]
    measures = [name for name in (*DISTANCES, *MONEY) if name in columns]
    # a charge and its refund agree on everything except the amounts
    keys: Sequence[Sequence[str]] = [[*identity, *measures], identity] if measures else [identity]
    old, new = (_select(settings, dataset, landing) for landing in (before, after))
    return row_changes(connection, old, new, columns, keys if identity else [])


def _with_unknown(dataset: Dataset, before: FileVersion, after: FileVersion) -> Dataset:
    """The dataset, with the columns added that both versions have and it does not know."""
    old, new = (
        {dataset.read_name(name): file_type for name, file_type in landing.columns}
        for landing in (before, after)
    )
    unknown = tuple(
        Column(
            name,
            widest(filter(None, map(read_type_of, (old[name], new[name])))),
            frozenset(),
            False,
        )
        for name in new
        if name in old and name not in dataset.read_schema
    )
    return replace(dataset, eras=(*dataset.eras, Era(date.max, unknown)))


def _names(landing: FileVersion) -> set[str]:
    dataset = registry.datasets()[landing.dataset]
    return {dataset.read_name(name) for name, _ in landing.columns}
