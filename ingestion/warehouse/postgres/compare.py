"""Compare a raw table with its file: what COPY reads from it, with what COPY would load."""

import re
from collections.abc import Iterator

from ingestion.lake.catalog import FileVersion
from ingestion.schema_on_read import POSTGRES
from ingestion.warehouse.postgres.arrow_copy import copy_stream
from ingestion.warehouse.postgres.destination import open_file
from ingestion.warehouse.postgres.session import PostgresSession, one_line

# An empty list, as the encoder writes it (one dimension of no elements) and as the server does
# (no dimension): length, dimensions, flags, the elements' type, and the dimension's size and start.
_EMPTY_LIST = re.compile(rb"\0\0\0\x14\0\0\0\x01\0\0\0\0(.{4})\0\0\0\0\0\0\0\x01", re.DOTALL)
_EMPTY_LIST_OF_SERVER = b"\0\0\0\x0c" + bytes(8)


def holds_file(session: PostgresSession, version: FileVersion, path: str) -> bool:
    """Whether a raw table has the columns, rows and values of its file, in the same order."""
    table = f"raw.{POSTGRES.quote(version.table_name)}"
    columns, _ = open_file(path, version.lake_path, version.columns)
    there = session.query(
        "select attname, format_type(atttypid, atttypmod) from pg_attribute"
        " where attrelid = ?::regclass and attnum > 0 and not attisdropped order by attnum",
        [table],
    ).rows
    if [name for name, _ in there] != [column.name for column in columns]:
        return False
    names = ", ".join(POSTGRES.quote(column.name) for column in columns)
    ordinal = POSTGRES.quote(columns[-1].name)
    # As they lie, rows that nobody touched are in the file's order. A row that was written again
    # lies elsewhere, though it may have the same values: then they are sorted.
    session.execute("set synchronize_seqscans = off")
    return any(
        _same_bytes(session, f"select {names} from {table}{order}", version, path)
        for order in ("", f" order by {ordinal}")
    )


def _same_bytes(session: PostgresSession, select: str, version: FileVersion, path: str) -> bool:
    columns, batches = open_file(path, version.lake_path, version.columns)
    stream = copy_stream(columns, batches)
    pieces = iter(lambda: stream.read(0), b"")  # each is of whole rows
    if any(column.sql_type.endswith("[]") for column in columns):
        pieces = (_EMPTY_LIST.sub(_as_the_server, piece) for piece in pieces)
    compared = _Compared(pieces)
    with one_line(), session.connection.cursor() as cursor:
        cursor.copy_expert(f"copy ({select}) to stdout (format binary)", compared)
    return compared.ends_equal()


def _as_the_server(empty_list: re.Match[bytes]) -> bytes:
    return _EMPTY_LIST_OF_SERVER + empty_list[1]


class _Compared:
    """A file that psycopg2 writes to, which compares what it gets with the expected bytes.

    An error of the expected side is kept until the end: a COPY that is left half-way would break
    the connection.
    """

    def __init__(self, expected: Iterator[bytes]):
        self._expected = expected
        self._piece = memoryview(b"")
        self._differs = False
        self._error: Exception | None = None

    def write(self, data: bytes) -> None:
        """Compare the next bytes."""
        rest = memoryview(data)
        while rest and not self._differs:
            self._advance()
            size = min(len(rest), len(self._piece))
            self._differs |= not size or rest[:size] != self._piece[:size]
            rest, self._piece = rest[size:], self._piece[size:]

    def ends_equal(self) -> bool:
        """Whether all bytes were equal, and none is left."""
        self._advance()
        if self._error:
            raise self._error
        return not self._differs and not self._piece

    def _advance(self) -> None:
        if self._piece or self._differs:
            return
        try:
            self._piece = memoryview(next(self._expected, b""))
        except Exception as exc:  # whatever reading the file raises; ends_equal() raises it again
            self._differs, self._error = True, exc
