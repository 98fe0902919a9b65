"""Reads the footer of a Parquet file, and checks that our readers can read the file.

No page is read. pyarrow and DuckDB each refuse some files. A file that either of them cannot read
is refused here, with the column's name, so the result does not depend on the reader.
https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift
"""

import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingestion.errors import UntrustedFileError
from ingestion.formats.limits import (
    MOST_COLUMNS,
    MOST_FOOTER_BYTES,
    MOST_ROWS,
    MOST_ROWS_IN_NOTHING,
    most_unpacked,
)
from ingestion.formats.thrift import Struct, read_struct

MAGIC, ENCRYPTED = b"PAR1", b"PARE"
_TAIL = 8  # the length of the footer and the magic
CODECS = ("none", "snappy", "gzip", "LZO", "brotli", "LZ4 as Hadoop frames it", "zstd", "lz4")
READABLE_CODECS = {0, 1, 2, 4, 6, 7}  # all our readers can read these
_INT32, _INT64, _FLOAT, _DOUBLE = 1, 2, 4, 5
_SIZES = {_INT32: 4, _INT64: 8, _FLOAT: 4, _DOUBLE: 8}
_SIGNED = {_INT32: "<i", _INT64: "<q", _FLOAT: "<f", _DOUBLE: "<d"}
_UNSIGNED = {_INT32: "<I", _INT64: "<Q"}
_UNSIGNED_TYPES = range(11, 15)  # converted types UINT_8 to UINT_64
_REPEATED = 2


@dataclass(frozen=True)
class Range:
    """The least and the greatest value of one column in one row group, from the footer."""

    least: float  # an int for a column of whole numbers or times
    greatest: float


@dataclass(frozen=True)
class Leaf:
    """One column of values, with the footer's range of them in each row group."""

    path: tuple[str, ...]  # names; one name if the column is not nested
    ranges: tuple[Range | None, ...]  # one for each row group; none if the footer has no range


@dataclass(frozen=True)
class Footer:
    """The content of a Parquet file, as its footer describes it."""

    rows: int
    names: tuple[str, ...]  # of all columns, nested or not
    leaves: tuple[Leaf, ...]

    def leaf(self, name: str) -> Leaf | None:
        """The leaf of a column that is not nested."""
        return next((leaf for leaf in self.leaves if leaf.path == (name,)), None)


def read_footer(path: Path) -> Footer:
    """Read the footer of a file; raises ``UntrustedFileError`` with the reason."""
    size = path.stat().st_size
    metadata = _metadata(path, size)
    try:
        return _footer(metadata, size)
    except (KeyError, TypeError, IndexError, AttributeError, struct.error) as exc:
        # a required field is missing or has another type
        raise _unreadable("its footer is damaged") from exc


def _metadata(path: Path, size: int) -> Struct:
    with path.open("rb") as file:
        head = file.read(len(MAGIC))
        file.seek(max(0, size - _TAIL))
        tail = file.read()
        if ENCRYPTED in (head, tail[-4:]):
            raise _unreadable("it is encrypted")
        if size < len(MAGIC) + _TAIL or tail[-4:] != MAGIC:
            raise _NoFooterError("its footer is missing")
        length = int.from_bytes(tail[:4], "little")
        if length > size - len(MAGIC) - _TAIL:
            raise _unreadable("its footer is longer than the file")
        if length > MOST_FOOTER_BYTES:
            raise _unreadable(
                f"its footer is {length:,} bytes, where {MOST_FOOTER_BYTES:,} are the most"
            )
        file.seek(size - _TAIL - length)
        try:
            return read_struct(file.read(length))
        except ValueError as exc:
            raise _unreadable(f"its footer is damaged: {exc}") from exc


class _NoFooterError(UntrustedFileError):
    """The file does not end with a Parquet footer; it may be any kind of file."""


def is_something_else(exc: UntrustedFileError) -> bool:
    """Whether the file does not even end like a Parquet file."""
    return isinstance(exc, _NoFooterError)


@dataclass(frozen=True)
class _Column:
    """A leaf of the schema."""

    path: tuple[str, ...]
    physical: int
    unsigned: bool
    repeated: bool  # the column or its parent is repeated: the number of values is free

    @property
    def name(self) -> str:
        return ".".join(self.path)


def _footer(metadata: Struct, size: int) -> Footer:
    elements = metadata[2]
    if len(elements) > 50 * MOST_COLUMNS:
        raise _too_many_columns(len(elements))
    columns = list(_columns(elements))
    if len(columns) > MOST_COLUMNS:
        raise _too_many_columns(len(columns))
    rows, groups = metadata[3], metadata.get(4, [])
    _check_rows(rows, groups, size)
    ranges: list[list[Range | None]] = [[] for _ in columns]
    packed = unpacked = 0
    for group in groups:
        chunks = group[1]
        if len(chunks) != len(columns):
            raise _unreadable(
                f"a row group has {len(chunks)} columns, where the schema has {len(columns)}"
            )
        for i, (column, chunk) in enumerate(zip(columns, chunks, strict=True)):
            details = _chunk(column, chunk, group[3], size)
            packed += details[7]
            unpacked += details[6]
            ranges[i].append(_range(column, details.get(12), details[5]))
    if packed > size:
        raise _unreadable("its columns lie over one another")
    if unpacked > most_unpacked(size):
        raise _unreadable(
            f"it unpacks to {unpacked:,} bytes, where {most_unpacked(size):,} are the most"
            f" for a file of {size:,}"
        )
    names = tuple(dict.fromkeys(column.path[0] for column in columns))
    leaves = tuple(Leaf(c.path, tuple(r)) for c, r in zip(columns, ranges, strict=True))
    return Footer(rows, names, leaves)


def _columns(elements: Sequence[Struct]) -> Iterator[_Column]:
    """The leaves of a schema, a tree that is written with each element before its children."""
    left = [elements[0].get(5, 0)]  # children still to come, for the root and each open element
    path: list[str] = []
    repeated = [False]
    for element in elements[1:]:
        while left and not left[-1]:
            left.pop()
            repeated.pop()
            path = path[:-1]
        if not left:
            raise _unreadable("its schema has columns that belong to nothing")
        left[-1] -= 1
        name = _name(element[4])
        again = repeated[-1] or element.get(3) == _REPEATED
        if element.get(5):
            left.append(element[5])
            repeated.append(again)
            path.append(name)
            if len(left) > 100:
                raise _unreadable("its columns are nested too deeply")
        else:
            yield _Column((*path, name), element[1], _is_unsigned(element), again)
    if any(left):
        raise _unreadable("its schema has fewer columns than it says")


def _name(written: bytes) -> str:
    try:
        name = written.decode()
    except UnicodeDecodeError:
        raise _unreadable(f"the name of column {written!r} is not UTF-8") from None
    if "\0" in name:
        raise _unreadable(f"the name of column {name!r} holds a NUL")
    return name


def _is_unsigned(element: Struct) -> bool:
    integer = element.get(10, {}).get(10)  # of the logical type
    return element.get(6) in _UNSIGNED_TYPES or bool(integer and not integer.get(2, True))


def _check_rows(rows: int, groups: Sequence[Struct], size: int) -> None:
    if rows != sum(group[3] for group in groups) or any(group[3] < 0 for group in groups):
        raise _unreadable("its footer contradicts itself on how many rows there are")
    if rows > MOST_ROWS or rows > max(MOST_ROWS_IN_NOTHING, size):
        raise _unreadable(f"it says that it holds {rows:,} rows in {size:,} bytes")


def _chunk(column: _Column, chunk: Struct, rows: int, size: int) -> Struct:
    """The metadata of one column in one row group; raises if it is impossible or unreadable."""
    name = column.name
    if 8 in chunk or 9 in chunk:
        raise _unreadable(f"column {name} is encrypted")
    if chunk.get(1):
        raise _unreadable(f"column {name} lies in another file")
    details: Struct = chunk[3]
    if tuple(_name(part) for part in details[3]) != column.path or details[1] != column.physical:
        raise _unreadable(f"column {name} is another one in a row group")
    codec = details[4]
    if codec not in READABLE_CODECS:
        known = CODECS[codec] if 0 <= codec < len(CODECS) else f"the unknown codec {codec}"
        raise _unreadable(f"column {name} is compressed with {known}, which not every reader knows")
    values = details[5]
    if values < 0 or (values != rows and not column.repeated):
        raise _unreadable(f"column {name} says that it has {values:,} values in {rows:,} rows")
    packed, unpacked = details[7], details[6]
    begins = min(details[9], details.get(11) or details[9])
    if packed < 0 or unpacked < 0 or begins < 0 or begins + packed > size:
        raise _unreadable(f"column {name} lies beyond the end of the file")
    return details


def _range(column: _Column, statistics: Struct | None, values: int) -> Range | None:
    """The least and the greatest value of a column of numbers; raises if they are impossible."""
    if statistics is None:
        return None
    nulls = statistics.get(3)
    if nulls is not None and not 0 <= nulls <= values:
        raise _unreadable(f"column {column.name} says that {nulls:,} of {values:,} values are null")
    # the older fields use signed order for every type, so they are right for signed types only
    least, greatest = statistics.get(6), statistics.get(5)
    if least is None and greatest is None and not column.unsigned:
        least, greatest = statistics.get(2), statistics.get(1)
    if column.physical not in _SIZES or least is None or greatest is None:
        return None
    form = _UNSIGNED.get(column.physical) if column.unsigned else None
    form = form or _SIGNED[column.physical]
    least, greatest = _number(form, least), _number(form, greatest)
    if least is None or greatest is None:
        raise _unreadable(f"column {column.name} has a least value of another type")
    if math.isnan(least) or math.isnan(greatest):
        return None
    if least > greatest:
        raise _unreadable(
            f"column {column.name} says that its values go from {least} to {greatest}"
        )
    return Range(least, greatest)


def _number(form: str, written: bytes) -> Any:
    return struct.unpack(form, written)[0] if len(written) == struct.calcsize(form) else None


def _too_many_columns(count: int) -> UntrustedFileError:
    return _unreadable(f"it has {count:,} columns, where {MOST_COLUMNS:,} are the most")


def _unreadable(reason: str) -> UntrustedFileError:
    return UntrustedFileError(f"not a readable Parquet file: {reason}")
