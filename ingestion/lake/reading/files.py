"""How DuckDB reads the lake's files in place, as SQL text.

A union with one branch for each file would open every file to plan any query: 600 over a network.
So files with the same columns form one list, and DuckDB opens only the first to plan. A row's month
and file key are looked up by its file's name, so DuckDB prunes the list before it opens another
file. Files that differ in a column's name or type are never read together.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from ingestion.addresses import local_path
from ingestion.formats.csv_reader import duckdb_csv_sql
from ingestion.formats.duckdb_sql import NO_HIVE, path_pattern, text_sql
from ingestion.formats.json_lines import json_lines_sql
from ingestion.lake.catalog import FileVersion
from ingestion.schema_on_read import DUCKDB, Branch, key_sql, month_sql

# The column that names a row's file. DuckDB prunes a list by this column only.
FILE = "filename"
ORDINAL = "file_row_number"

Columns = Sequence[tuple[str, str]]  # (published name, type in the file)
# Given a function from a version to a value, returns SQL of that value for each row.
LookUp = Callable[[Callable[[FileVersion], str]], str]
Condition = Callable[[LookUp], str]


def address(lake_url: str, lake_path: str) -> str:
    """The address of a file of the lake, as DuckDB's ``filename`` gives it."""
    root = local_path(lake_url)
    return str(root / lake_path) if root else f"{lake_url}/{lake_path}"


def source_sql(lake_url: str, lake_path: str) -> str:
    """The SQL text that makes DuckDB read exactly one file of the lake.

    An address in a bucket needs no escaping: S3 is read without patterns, and for Google and Azure
    the settings refuse an address that would be a pattern.
    """
    source = address(lake_url, lake_path)
    return text_sql(path_pattern(source) if local_path(lake_url) else source)


def reader_sql(lake_path: str, columns: Columns, source: str = "?") -> str:
    """The table function that gives one file's rows, in order, with its own columns and types.

    ``columns`` are the file's, as (name, type); ``source`` is SQL of its path pattern.
    """
    if lake_path.endswith(".parquet"):
        return f"read_parquet({source}, {NO_HIVE})"
    if ".jsonl" in lake_path:
        return json_lines_sql(source, lake_path.endswith(".gz"), columns)
    return duckdb_csv_sql(source, lake_path.endswith(".gz"), [name for name, *_ in columns])


def branches(
    lake_url: str, versions: Iterable[FileVersion], condition: Condition | None = None
) -> list[Branch]:
    """The branches by which a read view reads these versions of one dataset from the lake.

    ``condition`` takes a look-up and gives SQL that says whether a row's version is read at all.
    """
    alone: list[FileVersion] = []
    lists: dict[tuple[tuple[str, str], ...], list[FileVersion]] = defaultdict(list)
    for version in versions:
        names = {name.lower() for name, _ in version.columns}
        if version.lake_path.endswith(".parquet") and not names & {FILE, ORDINAL}:
            lists[version.columns].append(version)
        else:
            alone.append(version)
    return [
        *(_one_file(lake_url, version, condition) for version in alone),
        *(_list(lake_url, same, condition) for same in lists.values()),
    ]


def _one_file(lake_url: str, version: FileVersion, condition: Condition | None) -> Branch:
    def looked_up(value: Callable[[FileVersion], str]) -> str:
        return value(version)

    source = source_sql(lake_url, version.lake_path)
    relation = reader_sql(version.lake_path, version.columns, source)
    if condition:
        relation = f"(select * from {relation} where {condition(looked_up)})"
    return Branch(
        relation=relation,
        source_month=month_sql(version.month),
        file_key=key_sql(version.file_key),
        row_ordinal="row_number() over () - 1",
        columns=version.columns,
    )


def _list(lake_url: str, versions: Sequence[FileVersion], condition: Condition | None) -> Branch:
    sources = [source_sql(lake_url, version.lake_path) for version in versions]
    names = [text_sql(address(lake_url, version.lake_path)) for version in versions]

    def looked_up(value: Callable[[FileVersion], str]) -> str:
        if len(versions) == 1:  # DuckDB does not prune a list of one file
            return value(versions[0])
        pairs = ", ".join(f"{n}: {value(v)}" for n, v in zip(names, versions, strict=True))
        return f"(map {{{pairs}}})[{DUCKDB.quote(FILE)}]"

    relation = f"read_parquet([{', '.join(sources)}], filename = true, {NO_HIVE})"
    if condition:
        relation = f"(select *, {ORDINAL} from {relation} where {condition(looked_up)})"
    return Branch(
        relation=relation,
        source_month=looked_up(lambda version: month_sql(version.month)),
        file_key=looked_up(lambda version: key_sql(version.file_key)),
        row_ordinal=ORDINAL,
        columns=versions[0].columns,
    )
