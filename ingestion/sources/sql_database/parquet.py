"""Writes Arrow tables into one Parquet file: the same rows give the same bytes.

Row groups are cut by the rows alone, not by the tables in which a driver happens to give them.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pyarrow.types as t

if TYPE_CHECKING:
    from numpy.typing import NDArray

GROUP_ROWS = 122_880
GROUP_BYTES = 32 << 20  # of texts and bytes, which have no fixed length


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
    """The same rows in groups; a group ends with the row that makes it full."""
    group: list[pa.Table] = []
    rows = size = 0
    for table in tables:
        sizes = _running_bytes(table)
        start, before = 0, 0
        while start < table.num_rows:
            full = int(np.searchsorted(sizes, before + GROUP_BYTES - size)) + 1
            end = min(start + GROUP_ROWS - rows, full, table.num_rows)
            group.append(table.slice(start, end - start))
            rows += end - start
            size += int(sizes[end - 1]) - before
            start, before = end, int(sizes[end - 1])
            if rows == GROUP_ROWS or size >= GROUP_BYTES:
                yield pa.concat_tables(group).combine_chunks()
                group, rows, size = [], 0, 0
    if group:
        yield pa.concat_tables(group).combine_chunks()


def _running_bytes(table: pa.Table) -> "NDArray[np.int64]":
    """For each row, the bytes of the texts and bytes up to its end."""
    total = np.zeros(table.num_rows, dtype=np.int64)
    for column in table.columns:
        if t.is_string(column.type) or t.is_binary(column.type):
            total += pc.fill_null(pc.binary_length(column), 0).to_numpy()
    return total.cumsum()
