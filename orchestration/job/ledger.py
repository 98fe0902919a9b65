"""The lines of the ledger, one for each file version in use, and their present row counts."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import date
from operator import attrgetter
from typing import Any

from ingestion.lake.catalog import file_key, name_of
from ingestion.schema_on_read import Dialect
from ingestion.warehouse.base import Session

Identity = tuple[str, date | None, str]  # dataset, month, sha256
Files = Mapping[Identity, dict[str, Any]]  # the rows of raw.files


@dataclass(frozen=True)
class File:
    """One file version in use: rows in the file, in raw and in the facts, and the valid rows.

    ``fact_rows`` and ``valid_rows`` are None for a dataset that has no facts.
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
        """The ``file_key`` that its rows have in the facts."""
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
class Unbalanced:
    """A file that lost rows, or has rows twice."""

    dataset: str
    month: date | None
    file_rows: int
    raw_rows: int
    fact_rows: int | None
    table_name: str | None = None  # only of a file without a month

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
    """The sums of the ledger for one dataset; the last three are None if it has no facts."""

    dataset: str
    files: int
    file_rows: int
    raw_rows: int
    fact_rows: int | None
    valid_rows: int | None
    invalid_rows: int | None
    is_balanced: bool


def identity_of(row: dict[str, Any]) -> Identity:
    """Which file version a row of raw.files or of the ledger is about."""
    return row["dataset"], row["month"], row["file_id"]


def file_of(row: dict[str, Any]) -> File:
    """A row of marts.ledger."""
    names = ("dataset", "month", "file_id", "file_rows", "raw_rows", "fact_rows", "valid_rows")
    return File(*(row[name] for name in names))


def single_file_of(row: dict[str, Any], raw_rows: int) -> SingleFile:
    """A row of marts.ledger_single_files, with these rows in its raw table."""
    return SingleFile(
        dataset=row["dataset"],
        table_name=row["table_name"],
        file_id=row["file_id"],
        file_rows=row["file_rows"],
        raw_rows=raw_rows,
        is_balanced=row["file_rows"] == raw_rows,
    )


def recounted(ledger: list[File], facts: list[tuple[Any, ...]]) -> list[File]:
    """The ledger with new counts of facts, and a line for each file that only the facts have."""
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


def raw_rows_now(session: Session, dialect: Dialect, files: Files) -> dict[Identity, int]:
    """The present row counts of the raw tables in use; views over files are left out."""
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


def with_raw_rows(file: File, counted: dict[Identity, int]) -> File:
    """The same line with the counted rows of its raw table; unchanged if there is no count."""
    rows = counted.get((file.dataset, file.month, file.file_id))
    return file if rows is None else replace(file, raw_rows=rows)


def changed_raw_tables(files: Files, counted: dict[Identity, int]) -> list[RawChanged]:
    """The raw tables that do not have as many rows as were loaded."""
    return [
        RawChanged(files[identity]["table_name"], files[identity]["row_count"], rows)
        for identity, rows in counted.items()
        if rows != files[identity]["row_count"]
    ]


def not_in_ledger(ledger: list[File], known: Collection[Identity], files: Files) -> list[File]:
    """Files that are loaded and in use, but neither in the ledger nor among the ``known`` ones."""
    known = {(f.dataset, f.month, f.file_id) for f in ledger} | set(known)
    return [
        file_of(row | {"file_rows": rows, "raw_rows": rows, "fact_rows": 0, "valid_rows": 0})
        for identity, row in files.items()
        if row["is_current"] and row["month"] and identity not in known
        for rows in [row["row_count"]]
    ]


def in_use(singles: list[SingleFile], files: Files) -> list[SingleFile]:
    """The single files that are in use now, including those loaded after the build."""
    counted = {row["table_name"]: row["row_count"] for row in files.values()}
    counted |= {single.table_name: single.raw_rows for single in singles}
    found = [
        single_file_of(row | {"file_rows": row["row_count"]}, counted[row["table_name"]])
        for row in files.values()
        if row["is_current"] and row["month"] is None
    ]
    return sorted(found, key=attrgetter("dataset", "table_name"))


def added_up(dataset: str, files: list[File]) -> Balance:
    """The sums of the lines of one dataset."""
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
