"""Damage Parquet files: the footer stays whole, the pages do not."""

from pathlib import Path

import pyarrow.parquet as pq


def damage_page(path: Path, column: str = "total_amount") -> None:
    """Overwrite the pages of one column; the file's length, footer and other columns stay."""
    groups = pq.ParquetFile(path).metadata
    content = bytearray(path.read_bytes())
    for group in range(groups.num_row_groups):
        chunks = (groups.row_group(group).column(i) for i in range(groups.num_columns))
        for chunk in chunks:
            if chunk.path_in_schema == column:
                start = chunk.dictionary_page_offset or chunk.data_page_offset
                size = chunk.total_compressed_size
                content[start : start + size] = b"\xff" * size
    path.write_bytes(content)
