"""Writes Arrow tables into one Parquet file: the same rows give the same bytes.

Row groups are cut by the rows alone, not by the tables in which a driver happens to give them.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pyarrow.types as t

BLOCK_ROWS = 1 << 12
GROUP_ROWS = 30 * BLOCK_ROWS
GROUP_BYTES = 64 << 20  # of texts and bytes, which have no fixed length


def write(
    tables: Iterable[pa.Table], schema: pa.Schema, path: Path, on_bytes: Callable[[int], None]
) -> int:
    """Write the file; returns the number of rows."""
    rows = written = 0
    with path.open("wb") as file:
        # a dictionary of other values would be given up half-way, and is rarely smaller
        texts = [field.name for field in schema if t.is_string(field.type)]
        with pq.ParquetWriter(file, schema, compression="zstd", use_dictionary=texts) as writer:
            for group in _row_groups(tables):
                writer.write_table(group, row_group_size=GROUP_ROWS)
                rows += group.num_rows
                on_bytes(file.tell() - written)
                written = file.tell()
        on_bytes(file.tell() - written)
    return rows


def _row_groups(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    group: list[pa.Table] = []
    rows = size = 0
    for block in _blocks(tables):
        group.append(block)
        rows += block.num_rows
        size += _bytes(block)
        if rows >= GROUP_ROWS or size >= GROUP_BYTES:
            yield pa.concat_tables(group).combine_chunks()
            group, rows, size = [], 0, 0
    if group:
        yield pa.concat_tables(group).combine_chunks()


def _blocks(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in tables of ``BLOCK_ROWS`` rows; the last one may be shorter."""
    rest: pa.Table | None = None
    for table in tables:
        joined = pa.concat_tables([rest, table]) if rest is not None else table
        whole = joined.num_rows - joined.num_rows % BLOCK_ROWS
        for start in range(0, whole, BLOCK_ROWS):
            yield joined.slice(start, BLOCK_ROWS)
        rest = joined.slice(whole)
    if rest is not None and rest.num_rows:
        yield rest


def _bytes(block: pa.Table) -> int:
    lengths = (
        pc.sum(pc.binary_length(column)).as_py()
        for column in block.columns
        if t.is_string(column.type) or t.is_binary(column.type)
    )
    return sum(filter(None, lengths))
