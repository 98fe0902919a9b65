"""Whether a downloaded file can be trusted to be what its name says.

A file is trusted when its structure is readable, holds rows, has the columns without which its
dataset is worthless, and when every known column can be read as its read type without changing a
value. Anything else raises ``UntrustedFileError``, and the file goes to quarantine. What is merely
new (an unknown column, another type that casts safely) is a remark, and stays in raw.
"""

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from ingestion.checks.csv import check_csv
from ingestion.checks.drift import Checked, compare
from ingestion.datasets import Dataset, FileFormat, ReadType, read_name
from ingestion.errors import UntrustedFileError

if TYPE_CHECKING:
    import pyarrow as pa

HEAD_BYTES = 200
EXACT_IN_DOUBLE = 2**53


def check(
    path: Path, dataset: Dataset, month: date | None, file_format: FileFormat | None = None
) -> Checked:
    """Read the whole file as the format that it has, by default the one that its name says.

    Raises ``UntrustedFileError`` with the reason to distrust it.
    """
    if path.stat().st_size == 0:
        raise UntrustedFileError("the file is empty (0 bytes)")
    file_format = file_format or dataset.format_of(path.name)
    if file_format != "parquet":
        try:
            return check_csv(path, file_format == "csv.gz", dataset, month)
        except UntrustedFileError as exc:
            raise UntrustedFileError(f"{exc}{_or_what_it_is(path)}") from exc
    return _check_parquet(path, dataset, month)


def _check_parquet(path: Path, dataset: Dataset, month: date | None) -> Checked:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            row_count = file.metadata.num_rows
            remarks = compare(dataset, dataset.era(month), [(f.name, str(f.type)) for f in schema])
            if row_count == 0:
                raise UntrustedFileError("the file has columns and no rows")
            for name in _to_be_cast(dataset, schema):
                _check_cast(file, name, dataset.read_schema[read_name(name)])
    except (pa.ArrowException, OSError) as exc:
        raise UntrustedFileError(
            f"not a readable Parquet file: {_what_it_is(path)} ({_first_line(exc)})"
        ) from exc
    return Checked(row_count, tuple((f.name, str(f.type)) for f in schema), remarks)


def _to_be_cast(dataset: Dataset, schema: "pa.Schema") -> Iterator[str]:
    """Columns whose values must each be tried; raise for one that has no cast at all."""
    for column in schema:
        read_type = dataset.read_schema.get(read_name(column.name))
        fits = _fits(column.type, read_type) if read_type else True
        if fits is False:
            raise UntrustedFileError(
                f"column {column.name} cannot be read as {read_type}: it is {column.type}"
            )
        if fits is None:
            yield column.name


def _fits(file_type: "pa.DataType", read_type: ReadType) -> bool | None:
    """Whether every value of a type can be read as another; none: it depends on the value."""
    import pyarrow.types as t

    if t.is_dictionary(file_type):
        file_type = file_type.value_type
    if t.is_null(file_type):
        return True
    text = t.is_string(file_type) or t.is_large_string(file_type)
    if read_type == "text":
        # every engine spells bytes in its own way
        return bool(text or t.is_primitive(file_type) or t.is_decimal(file_type))
    if read_type == "timestamp":
        if t.is_timestamp(file_type) and file_type.tz is None:
            return None if file_type.unit == "ns" else True
        # with a zone it is an instant, and engines differ on the local time that they make of it
        return None if t.is_date(file_type) or text else False
    if t.is_integer(file_type):
        exact = read_type == "bigint" and not t.is_uint64(file_type)
        return True if exact or file_type.bit_width <= 32 else None
    if t.is_floating(file_type):
        return True if read_type == "double" else None
    return None if t.is_decimal(file_type) or text else False


def _check_cast(file: "pa.parquet.ParquetFile", name: str, read_type: ReadType) -> None:
    """Cast one column batch by batch, as the read view will; raise where a value would change."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as t

    if _exact_as_double(file, name):
        return
    target = {"bigint": pa.int64(), "double": pa.float64()}.get(read_type, pa.timestamp("us"))
    try:
        for batch in file.iter_batches(columns=[name]):
            values = batch.column(0)
            values.cast(target, safe=True)
            if read_type == "timestamp" and not t.is_temporal(values.type):
                # of all engines Arrow alone takes an hour without minutes
                bare = pc.match_substring_regex(values, r"^\S+[ T]\d+$")
                if pc.any(bare).as_py():
                    raise pa.ArrowInvalid("a time without minutes")
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as exc:
        raise UntrustedFileError(
            f"column {name} cannot be read as {read_type}: {_first_line(exc)}"
        ) from exc


def _exact_as_double(file: "pa.parquet.ParquetFile", name: str) -> bool:
    """Whether the footer says that all values are whole numbers that a double holds exactly."""
    import pyarrow.types as t

    column = file.schema_arrow.get_field_index(name)
    if not t.is_integer(file.schema_arrow.field(column).type):
        return False
    for i in range(file.metadata.num_row_groups):
        statistics = file.metadata.row_group(i).column(column).statistics
        if statistics is None or not statistics.has_min_max:
            return False
        if max(abs(statistics.min), abs(statistics.max)) > EXACT_IN_DOUBLE:
            return False
    return True


def _what_it_is(path: Path) -> str:
    head = _head(path)
    if head.startswith(b"PAR1"):
        return "it is cut short, its footer is missing"
    return _something_else(head) or f"it begins with {head[:16]!r}"


def _or_what_it_is(path: Path) -> str:
    """In brackets, what a file is that should be CSV, where it is something else altogether."""
    head = _head(path)
    if head.startswith(b"PAR1"):
        return " (it is a Parquet file)"
    something_else = _something_else(head)
    return f" ({something_else})" if something_else else ""


def _something_else(head: bytes) -> str | None:
    text = head.decode("latin-1").lstrip().lower()
    if text.startswith("<?xml") or "<error>" in text:
        return "it is an XML error page"
    if text.startswith(("<!doctype html", "<html")):
        return "it is an HTML error page"
    if text.startswith("version https://git-lfs"):
        return "it is a Git LFS pointer, not the file itself"
    if text.startswith(("{", "[")):
        return "it is JSON"
    return None


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)


def _first_line(exc: BaseException) -> str:
    return str(exc).strip().splitlines()[0].rstrip(".") if str(exc).strip() else type(exc).__name__
