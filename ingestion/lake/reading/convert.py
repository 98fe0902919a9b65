"""Files that are not Parquet, as Parquet of the same values, for engines that read only that.

Each is made once, and lies in the lake. It can be made anew from the published file at any time.
"""

import hashlib
from pathlib import Path

import duckdb

from ingestion.errors import UnreadableError, WarehouseError, first_line
from ingestion.formats.duckdb_sql import path_pattern, text_sql
from ingestion.lake.catalog import FileVersion
from ingestion.lake.reading.errors import may_pass
from ingestion.lake.reading.files import address, reader_sql
from ingestion.lake.storage.store import Store

CONVERTED = "converted"  # the folder in the lake


def parquet_of(table_name: str, lake_path: str) -> str:
    """The name in the lake of a version's Parquet file: its own, or what it was converted to."""
    if lake_path.endswith(".parquet"):
        return lake_path
    return f"{CONVERTED}/{table_name}.parquet"


def to_parquet(store: Store, version: FileVersion, scratch: Path) -> None:
    """Convert the version's file in the lake, unless that was done; its rows keep their order.

    DuckDB reads it, as it does for the other warehouses. Raises ``UnreadableError`` where the file
    is gone, changed or cannot be read, ``WarehouseError`` for an error that may pass.
    """
    # importing dlt is slow
    from dlt.common.destination.exceptions import DestinationTerminalException

    from ingestion.dlt_runner import UnreadableFileError, landed_file

    name = parquet_of(version.table_name, version.lake_path)
    if store.exists(name):
        return
    made = scratch / f"{version.table_name}.parquet"
    try:
        with (
            landed_file(address(store.url, version.lake_path), scratch, version.file_id) as path,
            duckdb.connect() as connection,
        ):
            rows = reader_sql(version.lake_path, version.columns, text_sql(path_pattern(path)))
            connection.execute(
                f"copy (from {rows}) to {text_sql(str(made))} (format parquet, compression zstd)"
            )
    except UnreadableFileError as exc:
        raise UnreadableError(str(exc)) from exc
    except DestinationTerminalException as exc:
        raise WarehouseError(str(exc)) from exc
    except duckdb.Error as exc:
        error = WarehouseError if may_pass(exc) else UnreadableError
        raise error(first_line(exc)) from exc
    with made.open("rb") as written:
        digest = hashlib.file_digest(written, "sha256").hexdigest()
    store.put(made, name, digest)
