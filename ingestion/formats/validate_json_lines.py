"""Checks that a file of JSON lines is the table that its name says, and its declared types fit."""

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from ingestion.errors import SHOWN_CHARACTERS, UntrustedFileError, first_line
from ingestion.formats.drift import Checked, compare
from ingestion.formats.duckdb_sql import path_pattern, text_sql
from ingestion.formats.json_lines import MEMORY, arrow_schema, json_lines_sql, structure
from ingestion.formats.limits import MOST_COLUMNS
from ingestion.formats.validate_csv import PATTERNS
from ingestion.sources.base import JSON, TEXT, Dataset
from ingestion.sources.read_types import read_type_of

if TYPE_CHECKING:
    import duckdb

Columns = list[tuple[str, str]]


def check_json_lines(path: Path, gzipped: bool, dataset: Dataset, month: date | None) -> Checked:
    """Read the whole file, twice; raises ``UntrustedFileError`` with the reason."""
    import duckdb

    try:
        with duckdb.connect(config={"memory_limit": MEMORY}) as connection:
            return _check(connection, path, gzipped, dataset, month)
    except duckdb.Error as exc:
        reason = first_line(exc).replace(f' in file "{path}"', "")
        raise UntrustedFileError(f"not readable as JSON lines: {reason}") from exc


def _check(
    connection: "duckdb.DuckDBPyConnection",
    path: Path,
    gzipped: bool,
    dataset: Dataset,
    month: date | None,
) -> Checked:
    import duckdb

    from ingestion.formats.postgres_types import not_in_postgres

    rows, columns = structure(connection, path, gzipped)
    if not columns:
        raise UntrustedFileError("the file has no rows" if not rows else "its objects are empty")
    if len(columns) > MOST_COLUMNS:
        raise UntrustedFileError(
            f"it has {len(columns):,} columns, where {MOST_COLUMNS:,} are the most"
        )
    # many APIs leave a key out where it has no value
    remarks = compare(dataset, dataset.era(month), columns, may_lack=True)
    try:
        _check_values(connection, path, gzipped, dataset, columns, rows)
    except duckdb.InvalidInputException:
        # a whole number of more than 64 bits: its column is kept as text, digit by digit
        columns = [(name, TEXT if t == "int64" else t) for name, t in columns]
        _check_values(connection, path, gzipped, dataset, columns, rows)
    return Checked(rows, tuple(columns), (*remarks, *not_in_postgres(arrow_schema(columns))))


def _check_values(
    connection: "duckdb.DuckDBPyConnection",
    path: Path,
    gzipped: bool,
    dataset: Dataset,
    columns: Columns,
    rows: int,
) -> None:
    """Read every value, under its own type and under its declared read type."""
    counts = ["count(*)"]
    checked: list[tuple[str, str]] = []
    for name, file_type in columns:
        column = '"' + name.replace('"', '""') + '"'
        if file_type in (TEXT, JSON):
            checked.append((name, "a text without NUL"))
            counts.append(f"min({column}::varchar) filter (contains({column}::varchar, chr(0)))")
        else:
            counts.append(f"count({column})")  # so that DuckDB reads it
            checked.append((name, ""))
        read_type = None if dataset.from_files else dataset.read_schema.get(dataset.read_name(name))
        if read_type == "boolean" and read_type_of(file_type) not in ("boolean", None):
            raise UntrustedFileError(f"column {name} cannot be read as boolean: it is {file_type}")
        if read_type in PATTERNS and read_type_of(file_type) != read_type:
            fits = text_sql(f" *({PATTERNS[read_type]})? *")
            value = f"{column}::varchar"
            wrong = f"not regexp_full_match({value}, {fits})"
            if read_type == "timestamp":  # a day that no month has
                wrong += f" or try_cast(nullif(trim({value}), '') as timestamp) is null"
                wrong = f"trim({value}) <> '' and ({wrong})"
            counts.append(f"min({value}) filter ({wrong})")
            checked.append((name, read_type))
    found = connection.execute(
        f"select {', '.join(counts)} from {json_lines_sql('?', gzipped, columns)}",
        [path_pattern(str(path))],
    ).fetchone()
    assert found is not None, "an aggregate gives one row"
    counted, *misfits = found
    if counted != rows:
        raise UntrustedFileError(f"readers disagree on its rows: {rows:,} or {counted:,}")
    for (name, wanted), value in zip(checked, misfits, strict=True):
        if wanted and value is not None:
            shown = str(value)[:SHOWN_CHARACTERS]
            raise UntrustedFileError(f"column {name} cannot be read as {wanted}: {shown!r}")
