"""Arrow record batches in PostgreSQL's binary COPY format, with types mapped exactly."""

from collections.abc import Iterator

import numpy as np
import pgpq
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as t

from ingestion.formats.postgres_types import CopyColumn

TO_2000_DAYS = 10_957
TO_2000_MICROSECONDS = TO_2000_DAYS * 86_400_000_000
# Rows encoded and sent at a time: a megabyte of trips, which fits in the processor's cache.
PIECE_ROWS = 1 << 12


def copy_stream(columns: list[CopyColumn], batches: Iterator[pa.RecordBatch]) -> "PieceReader":
    """A reader of the batches in COPY's binary format; raises for a value with no safe cast."""
    return PieceReader(_encoded(columns, batches))


def _encoded(columns: list[CopyColumn], batches: Iterator[pa.RecordBatch]) -> Iterator[bytes]:
    schema = pa.schema([(c.name, c.arrow_type) for c in columns])
    encoder = pgpq.ArrowToPostgresBinaryEncoder(schema)
    yield encoder.write_header()
    done = 0
    for batch in batches:
        arrays = [_cast(batch.column(i), c) for i, c in enumerate(columns[:-1])]
        arrays.append(pa.array(np.arange(done, done + batch.num_rows, dtype=np.int64)))
        done += batch.num_rows
        encodable = pa.RecordBatch.from_arrays(arrays, schema=schema)
        for start in range(0, batch.num_rows, PIECE_ROWS):
            yield encoder.write_batch(encodable.slice(start, PIECE_ROWS))
    yield encoder.finish()


def _cast(values: pa.Array, column: CopyColumn) -> pa.Array:
    if values.type != column.arrow_type:
        try:
            values = values.cast(column.arrow_type, safe=True)
        except pa.ArrowInvalid as exc:
            raise pa.ArrowInvalid(f"column {column.name}: {exc}") from exc
    _check_calendar(values, column)
    return values


def _check_calendar(values: pa.Array, column: CopyColumn) -> None:
    """Refuse times that PostgreSQL, counting from 2000, reads as -infinity or cannot store."""
    if t.is_list(values.type):
        values = pc.list_flatten(values)
    if t.is_timestamp(values.type):
        count, infinity = pa.int64(), -(2**63) + TO_2000_MICROSECONDS
    elif t.is_date32(values.type):
        count, infinity = pa.int32(), -(2**31) + TO_2000_DAYS
    else:
        return
    least = pc.min(values.view(count)).as_py()
    if least is not None and least <= infinity:
        raise pa.ArrowInvalid(f"column {column.name}: {least} since 1970 is out of range")


class PieceReader:
    """An iterator of bytes that psycopg2 reads as a file, one piece at a time.

    The requested size is ignored: psycopg2 accepts more, and cutting a piece would copy it.
    psycopg2 replaces an exception by its own, so ``error`` keeps the original one.
    """

    def __init__(self, pieces: Iterator[bytes]):
        self._pieces = pieces
        self.error: BaseException | None = None

    def read(self, _: int) -> bytes:
        """The next piece; empty at the end."""
        try:
            return next(filter(None, self._pieces), b"")
        except BaseException as exc:
            self.error = exc
            raise
