"""How Spark reads the lake's files in place, as SQL text.

A table of the metastore over a few files of the same columns, a view over the table that casts them
to the read schema, and the read view over these. One table over all files would not do: metastores
limit the length of a path and of a view. A row's month and file key are looked up by its file's
name, so that Spark opens only the files of the months that a query asks for.

Files that are not Parquet are converted once, to Parquet of the same texts: Spark would read such a
file by one task, and by rules of its own.
"""

import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from ingestion.addresses import local_path
from ingestion.errors import UsageError
from ingestion.lake.catalog import FileVersion
from ingestion.lake.reading.convert import parquet_of
from ingestion.schema_on_read import SPARK, Branch, key_sql, month_sql
from ingestion.sources.base import JSON, TEXT

# A metastore on Derby keeps 4000 characters of a path. Spark lists more than 32 files by a job.
MOST_FILES = 32
MOST_CHARACTERS = 3500

# the types of Arrow that Spark reads, in Spark's words
_TYPES = (
    (r"int8", "tinyint"),
    (r"int16|uint8", "smallint"),
    (r"int32|uint16", "int"),
    (r"int64|uint32", "bigint"),
    (r"uint64", "decimal(20, 0)"),
    (r"float", "float"),
    (r"double", "double"),
    (r"bool", "boolean"),
    (r"(large_)?string", "string"),
    (r"(large_)?binary", "binary"),
    (r"date32\[day\]", "date"),
    (r"timestamp\[(us|ms)\]", "timestamp_ntz"),
    (r"timestamp\[(us|ms), tz=.*\]", "timestamp"),
    (r"null", "int"),  # such a column has no values
    (rf"{TEXT}|{JSON}", "string"),
)


@dataclass(frozen=True)
class SparkBranch(Branch):
    """One branch of a read view: a table over some files of the same columns."""

    table: str  # its name in the schema raw
    files: Sequence[str]  # the names of its files in the lake


def path_sql(lake_url: str, names: Sequence[str]) -> str:
    """The pattern of ``pattern()`` as a SQL literal."""
    return literal(pattern(lake_url, names))


def pattern(lake_url: str, names: Sequence[str]) -> str:
    """The pattern that matches exactly these files of one folder of the lake."""
    folder, _, _ = names[0].rpartition("/")
    last = [_escaped(name.rpartition("/")[2]) for name in names]
    either = last[0] if len(last) == 1 else f"{{{','.join(last)}}}"
    return f"{_escaped(address(lake_url, folder))}/{either}"


def address(lake_url: str, name: str) -> str:
    """The address of an object of the lake, as Spark's file systems spell it."""
    if root := local_path(lake_url):
        return f"file:{root}/{name}"
    scheme, bucket, path = (p := urlsplit(lake_url)).scheme, p.netloc, p.path
    if scheme == "az":
        account = os.environ.get("AZURE_STORAGE_ACCOUNT_NAME")
        if not account:
            raise UsageError("Set AZURE_STORAGE_ACCOUNT_NAME: Spark needs it in addresses.")
        return f"abfss://{bucket}@{account}.dfs.core.windows.net{path}/{name}"
    return f"{'s3a' if scheme == 's3' else scheme}://{bucket}{path}/{name}"


def literal(text: str) -> str:
    """A text as a SQL literal of Spark, whatever characters it has."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def file_of(version: FileVersion) -> str:
    """The name of the Parquet file that Spark reads: the version's own, or what it was made to."""
    return parquet_of(version.table_name, version.lake_path)


def schema_sql(columns: Sequence[tuple[str, str]]) -> str:
    """The columns of a file in Spark's types; raises ``ValueError`` for one that it has not."""
    return ", ".join(f"{SPARK.quote(name)} {_spark_type(name, kind)}" for name, kind in columns)


def kind_of(name: str, dataset: str) -> str | None:
    """Whether a relation of raw is a ``table`` or a ``view`` of this dataset, or none of it."""
    found = re.fullmatch(rf"{re.escape(dataset)}_(rows_)?[0-9a-f]{{16}}", name)
    return ("view" if found[1] else "table") if found else None


def can_read(columns: Sequence[tuple[str, str]]) -> str | None:
    """Why Spark cannot read a file of these columns; none if it can."""
    try:
        schema_sql(columns)
    except ValueError as exc:
        return str(exc)
    double = [n for n, k in _counted(name.lower() for name, _ in columns).items() if k > 1]
    return f"Spark does not tell columns apart that differ in case: {double[0]}" if double else None


def branches(
    lake_url: str, versions: Iterable[FileVersion], schema: str = "raw"
) -> list[SparkBranch]:
    """The branches by which a read view reads these versions of one dataset from the lake.

    Their tables are in the ``schema``.
    """
    same: dict[tuple[str, tuple[tuple[str, str], ...]], list[FileVersion]] = defaultdict(list)
    for version in versions:
        same[file_of(version).rpartition("/")[0], version.columns].append(version)
    return [
        _branch(lake_url, part, schema)
        for files in same.values()
        for part in _parts(lake_url, sorted(files, key=lambda v: (str(v.month), v.table_name)))
    ]


def _parts(lake_url: str, versions: Sequence[FileVersion]) -> Iterable[list[FileVersion]]:
    part: list[FileVersion] = []
    for version in versions:
        names = [file_of(v) for v in (*part, version)]
        if part and (len(names) > MOST_FILES or len(path_sql(lake_url, names)) > MOST_CHARACTERS):
            yield part
            part = []
        part.append(version)
    if part:
        yield part


def _branch(lake_url: str, versions: Sequence[FileVersion], schema: str) -> SparkBranch:
    files = [file_of(version) for version in versions]
    said = f"{path_sql(lake_url, files)} {schema_sql(versions[0].columns)}"
    table = f"{versions[0].dataset}_{hashlib.sha256(said.encode()).hexdigest()[:16]}"

    def looked_up(value: Callable[[FileVersion], str]) -> str:
        if len(versions) == 1:
            return value(versions[0])
        named = zip(files, versions, strict=True)
        pairs = ", ".join(f"{literal(f.rpartition('/')[2])}, {value(v)}" for f, v in named)
        return f"map({pairs})[_metadata.file_name]"

    return SparkBranch(
        relation=f"{SPARK.quote(schema)}.{SPARK.quote(table)}",
        source_month=looked_up(lambda version: month_sql(version.month)),
        file_key=looked_up(lambda version: key_sql(version.file_key)),
        row_ordinal="_metadata.row_index",
        columns=versions[0].columns,
        table=table,
        files=files,
    )


def _spark_type(name: str, kind: str) -> str:
    if found := re.fullmatch(r"decimal(?:\d+)?\((\d+), ?(\d+)\)", kind):
        return f"decimal({found[1]}, {found[2]})"
    for pattern, spark in _TYPES:
        if re.fullmatch(pattern, kind):
            return spark
    raise ValueError(f"Spark does not read the type {kind} of column {name}")


def _escaped(path: str) -> str:
    """The pattern that matches only this path; Hadoop reads paths as patterns."""
    return re.sub(r"([\\*?\[\]{},])", r"\\\1", path)


def _counted(names: Iterable[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name in names:
        found[name] = found.get(name, 0) + 1
    return found
