"""JSON lines: one object a line, one row an object; its keys are the columns.

DuckDB reads them for both warehouses, so that there is one meaning. A column holds texts, whole
numbers, doubles or booleans if all its values are so; objects or lists, as JSON, if all are so; and
otherwise each value as a text, a number with its digits. A key that an object lacks is null, as is
a null.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ingestion.errors import UntrustedFileError, first_line
from ingestion.formats.duckdb_sql import path_pattern, text_sql
from ingestion.sources.base import JSON, TEXT

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

LONGEST_LINE = 16 << 20  # bytes
MEMORY = "1GB"
BATCH_ROWS = 1 << 16
# the type of a column in a file, by the only type that DuckDB finds in it
_TYPES = {
    "VARCHAR": TEXT,
    "NULL": TEXT,
    "UBIGINT": "int64",
    "BIGINT": "int64",
    "HUGEINT": "int64",  # some are negative, and DuckDB took the others for unsigned
    "DOUBLE": "double",
    "BOOLEAN": "bool",
    "JSON": TEXT,  # values of several types
}
_IN_DUCKDB = {TEXT: "varchar", "int64": "bigint", "double": "double", "bool": "boolean"}

Columns = Sequence[tuple[str, str]]  # (name, type in the file)


def json_lines_sql(source: str, gzipped: bool, columns: Columns) -> str:
    """The table function of DuckDB; ``source`` is SQL of the file's address."""
    types = ", ".join(f"{text_sql(name)}: '{_IN_DUCKDB.get(t, JSON)}'" for name, t in columns)
    return f"read_json({source}, columns = {{{types}}}, {_options(gzipped)})"


def _options(gzipped: bool) -> str:
    return (
        "format = 'newline_delimited', hive_partitioning = false,"
        f" maximum_object_size = {LONGEST_LINE},"
        f" compression = '{'gzip' if gzipped else 'uncompressed'}'"
    )


def structure(
    connection: "duckdb.DuckDBPyConnection", path: Path, gzipped: bool
) -> tuple[int, list[tuple[str, str]]]:
    """The number of rows of a file, and its columns as (name, type), in the order of first use.

    Reads the whole file. Raises ``UntrustedFileError`` where a line is no object.
    """
    row = connection.execute(
        "select count(*), json_group_structure(json), count(*) filter (json_type(json) <> 'OBJECT')"
        f" from read_json_objects(?, {_options(gzipped)})",
        [path_pattern(str(path))],
    ).fetchone()
    rows, found, others = row or (0, None, 0)
    if others:
        raise UntrustedFileError(f"{others:,} of its {rows:,} lines are JSON, but no object")
    keys: Any = json.loads(found) if found else {}
    if not isinstance(keys, dict):  # every object is empty
        return rows, []
    return rows, [(k, _TYPES.get(t, JSON) if isinstance(t, str) else JSON) for k, t in keys.items()]


def json_batches(path: str, gzipped: bool, columns: Columns) -> Iterator["pa.RecordBatch"]:
    """The rows in the file's order; raises ``UntrustedFileError`` where one cannot be read."""
    import duckdb

    with duckdb.connect(config={"memory_limit": MEMORY}) as connection:
        names = ", ".join(
            f"cast({quoted} as varchar) as {quoted}" if t == JSON else quoted
            for quoted, t in (('"' + name.replace('"', '""') + '"', t) for name, t in columns)
        )
        relation = json_lines_sql("?", gzipped, columns)
        try:
            yield from connection.execute(
                f"select {names} from {relation}", [path_pattern(path)]
            ).to_arrow_reader(BATCH_ROWS)
        except duckdb.Error as exc:
            raise UntrustedFileError(first_line(exc)) from exc


def arrow_schema(columns: Columns) -> "pa.Schema":
    """The schema of the batches."""
    import pyarrow as pa

    types = {"int64": pa.int64(), "double": pa.float64(), "bool": pa.bool_()}
    return pa.schema([(name, types.get(t, pa.string())) for name, t in columns])
