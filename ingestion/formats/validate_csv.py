"""Checks that a CSV file is the table that its name says, and that each field fits its type.

The structure is read strictly, line by line. The values are tried in batches; if one does not fit,
its line is found.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import date
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from ingestion.errors import SHOWN_CHARACTERS, UntrustedFileError, first_line
from ingestion.formats.csv_reader import CsvRows, csv_batches, csv_rows, duckdb_csv_sql
from ingestion.formats.drift import Checked, compare, refuse_alike
from ingestion.formats.duckdb_sql import path_pattern, text_sql
from ingestion.formats.limits import MOST_COLUMNS
from ingestion.sources.base import TEXT, Dataset, RowCheck
from ingestion.sources.read_types import ReadType

if TYPE_CHECKING:
    import pyarrow as pa

# Texts that every engine reads as the same value; blanks around them are ignored. Whole numbers of
# this length are exact as doubles. No engine finds such a double too large or too small.
PATTERNS: dict[ReadType, str] = {
    "bigint": r"[-+]?\d{1,15}(\.0{0,15})?",
    "double": r"[-+]?(\d{1,40}(\.\d{0,40})?|\.\d{1,40})([eE][-+]?\d{1,2})?",
    "timestamp": r"[12]\d{3}-\d\d-\d\d([ T]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,6})?)?)?",
}


def check_csv(path: Path, gzipped: bool, dataset: Dataset, month: date | None) -> Checked:
    """Read the whole file; raises ``UntrustedFileError`` with the reason."""
    with csv_rows(path, gzipped, line_breaks=not dataset.monthly) as rows:
        columns = [(name, TEXT) for name in rows.columns]
        _check_unnamed(rows)
        era = dataset.csv_era(month, rows.columns)
        remarks = compare(dataset, era, columns[: rows.named])
        _check_names(rows.columns)
        check = _row_check(dataset, rows.columns)
        row_count = full = 0
        for row in rows:
            row_count += 1
            full += check(rows.line, row) if check else 1
    if full == 0:
        raise UntrustedFileError("the file has a header and no rows")
    _check_values(path, gzipped, dataset, rows, row_count)
    if gzipped:
        _check_packing(path, rows.columns, row_count)
    return Checked(row_count, tuple(columns), (*remarks, *_remarks(rows)))


def _row_check(dataset: Dataset, columns: Sequence[str]) -> RowCheck | None:
    if not dataset.row_check:
        return None
    return dataset.row_check({dataset.read_name(name): i for i, name in enumerate(columns)})


def _check_unnamed(rows: CsvRows) -> None:
    """Refuse an unnamed third column beside one named `_3`."""
    counts = Counter(name.lower() for name in rows.columns)
    for name in rows.unnamed:
        if counts[name] > 1:
            raise UntrustedFileError(
                f"column {name[1:]} has no name, and another has the name {name} that it would get"
            )


def _check_names(columns: Sequence[str]) -> None:
    """Refuse names that no table can have."""
    if len(columns) > MOST_COLUMNS:
        raise UntrustedFileError(
            f"it has {len(columns):,} columns, where {MOST_COLUMNS:,} are the most"
        )
    refuse_alike(columns, str.lower)


def _check_values(
    path: Path, gzipped: bool, dataset: Dataset, rows: CsvRows, row_count: int
) -> None:
    """Try every field whose read type is not text."""
    import pyarrow as pa

    read_types = (dataset.read_schema.get(dataset.read_name(name), "text") for name in rows.columns)
    typed = {i: read_type for i, read_type in enumerate(read_types) if read_type != "text"}
    done = 0
    try:
        for batch in csv_batches(path, gzipped, rows.columns):
            for i, read_type in typed.items():
                misfit = _first_misfit(batch.column(i), read_type)
                if misfit is not None:
                    line = _line_of(path, gzipped, done + misfit)
                    value = batch.column(i)[misfit].as_py()[:SHOWN_CHARACTERS]
                    raise UntrustedFileError(
                        f"line {line}: column {rows.columns[i].strip()} cannot be read as"
                        f" {read_type}: {value!r}"
                    )
            done += batch.num_rows
    except (pa.ArrowException, OSError) as exc:
        raise UntrustedFileError(f"not a readable CSV file: {exc}") from exc
    if done != row_count:
        raise UntrustedFileError(f"readers disagree on its rows: {row_count:,} or {done:,}")


def _check_packing(path: Path, columns: Sequence[str], row_count: int) -> None:
    """Unpack the file in DuckDB, which does not know every header that gzip allows."""
    import duckdb

    source = text_sql(path_pattern(str(path)))
    sql = f"select count(*) from {duckdb_csv_sql(source, True, columns)}"
    try:
        with duckdb.connect(config={"threads": 1}) as connection:
            (found,) = connection.execute(sql).fetchall()[0]
    except duckdb.Error as exc:
        reason = first_line(exc).replace(f": {path}", "")
        raise UntrustedFileError(
            f"not a gzip file that every reader unpacks: DuckDB says {reason!r}. Unpack it, and"
            " pack it with gzip"
        ) from exc
    if found != row_count:
        raise UntrustedFileError(f"readers disagree on its rows: {row_count:,} or {found:,}")


def _first_misfit(values: "pa.Array", read_type: ReadType) -> int | None:
    import pyarrow as pa
    import pyarrow.compute as pc

    fits = pc.match_substring_regex(values, f"^ *({PATTERNS[read_type]})? *$")
    if read_type == "timestamp":
        days = pc.utf8_slice_codeunits(pc.utf8_ltrim(values, " "), 0, 10).dictionary_encode()
        real = pa.array([_is_day(day) for day in days.dictionary.to_pylist()], pa.bool_())
        fits = pc.and_(fits, real.take(days.indices))
    first: int = pc.index(fits, False).as_py()
    return None if first < 0 else first


def _is_day(text: str) -> bool:
    try:
        return not text or bool(date.fromisoformat(text))
    except ValueError:
        return False


def _line_of(path: Path, gzipped: bool, ordinal: int) -> int:
    with csv_rows(path, gzipped, line_breaks=True) as rows:
        next(islice(rows, ordinal, None))
        return rows.line


def _remarks(rows: CsvRows) -> list[str]:
    import pyarrow as pa

    from ingestion.formats.postgres_types import not_in_postgres

    remarks = not_in_postgres(pa.schema([(name, pa.string()) for name in rows.columns]))
    if over := len(rows.columns) - rows.named:
        names = ", ".join(rows.columns[-over:])
        remarks.append(
            f"its rows have more fields ({over}) than its header: {names} are kept in raw"
        )
    return remarks
