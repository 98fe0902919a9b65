"""The read views, as SQL text: schema on read. They move no data and change no value.

Each dataset has one view, in the schema of its source. The view is a union over the current
versions. Each branch casts the file's own columns to the dataset's read schema explicitly, and adds
the columns that say where a row comes from.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from ingestion.sources.base import TEXT, Dataset
from ingestion.sources.read_types import ReadType

_FLOATS = ("double", "float", "halffloat")
_FRACTIONAL = (TEXT, *_FLOATS)
_MICROSECONDS = {"s": "* 1000000", "ms": "* 1000", "us": "", "ns": "// 1000"}  # of a duration
# Where a row comes from: the file's month and version, and the row's place in the file, from 0.
ORIGIN: dict[str, str] = {"source_month": "date", "file_key": "bigint", "row_ordinal": "bigint"}


@dataclass(frozen=True)
class Branch:
    """One branch of the view: one version, or several that have the same columns."""

    relation: str  # SQL of the relation that has the rows
    source_month: str  # SQL of the month of a row's file: a literal, so that others are pruned
    file_key: str  # SQL of the file_key of a row's version
    row_ordinal: str  # SQL of a row's ordinal in its file, from 0
    columns: Sequence[tuple[str, str]]  # (published name, type in the file)


def month_sql(month: date | None) -> str:
    """A file's month as a SQL literal."""
    return f"date '{month}'" if month else "cast(null as date)"


def key_sql(file_key: int) -> str:
    """A version's file_key as a SQL literal."""
    return f"cast({file_key} as bigint)"


@dataclass(frozen=True)
class Dialect:
    """How one engine spells the read types and quotes a name."""

    types: Mapping[ReadType, str]  # as the engine's information_schema spells them, in lower case
    decimal: str  # the same for decimals; {digits} stands for their digits

    def sql_type(self, read_type: ReadType) -> str:
        """The engine's name for a read type."""
        if read_type.startswith("decimal"):
            return self.decimal.format(digits=read_type.removeprefix("decimal").replace(" ", ""))
        return self.types[read_type]

    def quote(self, name: str) -> str:
        """Quote an identifier, whatever characters it has."""
        return '"' + name.replace('"', '""') + '"'

    def cast(self, value: str, file_type: str, read_type: ReadType) -> str:
        """SQL of a value of a file's column as its read type; text is trimmed, and never empty."""
        # a whole number may be written 1.0, which PostgreSQL can only read as a double
        if file_type == TEXT and read_type == "bigint":
            value = f"cast({value} as {self.types['double']})"
        return f"cast({value} as {self.sql_type(read_type)})"


class DuckDbDialect(Dialect):
    """DuckDB's names and casts."""

    def cast(self, value: str, file_type: str, read_type: ReadType) -> str:
        """SQL of a value of a file's column as its read type."""
        if read_type == "text" and file_type in _FLOATS:
            return f"replace({super().cast(value, file_type, read_type)}, '-nan', 'nan')"
        if read_type == "text" and file_type.startswith("duration["):
            # DuckDB reads the number alone, as Parquet has no durations
            unit = file_type.removeprefix("duration[").removesuffix("]")
            value = f"to_microseconds({value} {_MICROSECONDS[unit]})"
        return super().cast(value, file_type, read_type)


class PostgresDialect(Dialect):
    """PostgreSQL's names, and casts that give what DuckDB gives."""

    def cast(self, value: str, file_type: str, read_type: ReadType) -> str:
        """SQL of a value of a file's column as its read type."""
        text = super().cast(value, file_type, read_type)
        if read_type != "text" or file_type not in _FLOATS:
            return text
        # DuckDB writes 1.0, nan and inf, and has an exponent from 1e16
        return (
            f"case when {value} in ('NaN', 'Infinity', '-Infinity')"
            f" then replace(lower({text}), 'infinity', 'inf')"
            f" when abs({value}) < 1e16 then regexp_replace(case when strpos({text}, 'e+') > 0"
            f" then cast(cast({text} as numeric) as text) else {text} end, '^[-0-9]+$', '\\&.0')"
            f" else {text} end"
        )


class SparkDialect(Dialect):
    """Spark's names, and casts that give what DuckDB and PostgreSQL give."""

    def quote(self, name: str) -> str:
        """Quote an identifier, whatever characters it has."""
        return "`" + name.replace("`", "``") + "`"

    def cast(self, value: str, file_type: str, read_type: ReadType) -> str:
        """SQL of a value of a file's column as its read type."""
        if read_type == "bigint" and file_type in _FRACTIONAL:
            # a cast would cut off what follows the point; the others round to the even number
            double = f"cast({value} as double)" if file_type == TEXT else value
            return f"cast(bround({double}) as bigint)"
        text = super().cast(value, file_type, read_type)
        if read_type != "text" or file_type not in _FLOATS:
            return text
        # Java has an exponent below 1e-3 and from 1e7: DuckDB below 1e-4 and from 1e16
        plain = f"cast(cast({text} as decimal(38, 21)) as string)"
        exponent = f"regexp_replace(replace({text}, '.0E', 'E'), 'E([0-9])', 'e+$1')"
        exponent = f"regexp_replace({exponent}, 'E-([0-9])$', 'E-0$1')"
        return (
            f"case when {value} in ('NaN', 'Infinity', '-Infinity')"
            f" then replace(lower({text}), 'infinity', 'inf')"
            f" when instr({text}, 'E') = 0 then {text}"
            f" when abs({value}) >= 1e-4 and abs({value}) < 1e16"
            f" then regexp_replace({plain}, '([.][0-9]+?)0+$', '$1')"
            f" else replace({exponent}, 'E-', 'e-') end"
        )


DUCKDB: Dialect = DuckDbDialect(
    {
        "bigint": "bigint",
        "double": "double",
        "text": "varchar",
        "timestamp": "timestamp",
        "timestamptz": "timestamp with time zone",
        "date": "date",
        "boolean": "boolean",
        "binary": "blob",
    },
    decimal="decimal{digits}",
)
POSTGRES: Dialect = PostgresDialect(
    {
        "bigint": "bigint",
        "double": "double precision",
        "text": "text",
        "timestamp": "timestamp without time zone",
        "timestamptz": "timestamp with time zone",
        "date": "date",
        "boolean": "boolean",
        "binary": "bytea",
    },
    decimal="numeric",
)
SPARK = SparkDialect(
    {
        "bigint": "bigint",
        "double": "double",
        "text": "string",
        "timestamp": "timestamp_ntz",
        "timestamptz": "timestamp",
        "date": "date",
        "boolean": "boolean",
        "binary": "binary",
    },
    decimal="decimal{digits}",
)

STANDARD = DUCKDB  # what ``Session`` takes; DuckDB quotes as standard SQL does


def read_view_sql(
    dataset: Dataset, branches: Sequence[Branch], dialect: Dialect, first: Sequence[str] = ()
) -> str:
    """The statement that makes a read view; without versions the view has columns and no rows.

    The columns named ``first`` come before the others of the read schema.
    """
    rows = rows_sql(dataset, branches, dialect, first)
    return f"create or replace view {view_name(dataset, dialect)} as\n{rows}"


def view_name(dataset: Dataset, dialect: Dialect) -> str:
    """The quoted name of a dataset's read view; the schema is named after the source."""
    return f"{dataset.source}.{dialect.quote(dataset.view)}"


def rows_sql(
    dataset: Dataset, branches: Sequence[Branch], dialect: Dialect, first: Sequence[str] = ()
) -> str:
    """The select of the rows of these branches, under the dataset's read schema."""
    schema = {name: dataset.read_schema[name] for name in first} | dataset.read_schema
    selects = [_select(dataset, schema, branch, dialect) for branch in branches] or [
        _select_nothing(schema, dialect)
    ]
    return "\nunion all\n".join(selects)


def reading_of(dataset: Dataset, columns: Sequence[tuple[str, str]], dialect: Dialect) -> str:
    """An md5 of how the rows of a file with these columns, as (name, type), are read.

    It is made of each column that the file has and the dataset reads: its read name, and the SQL of
    its value. So it stays the same if the dataset reads a further column that the file lacks, if
    the columns have another order, or if the file is in another place.
    """
    published = _published(dataset, columns)
    values = [
        (name, _value(published[name], read_type, dialect))
        for name, read_type in sorted(dataset.read_schema.items())
        if name in published
    ]
    return hashlib.md5(json.dumps(values).encode(), usedforsecurity=False).hexdigest()


def _published(dataset: Dataset, columns: Sequence[tuple[str, str]]) -> dict[str, tuple[str, str]]:
    """The columns of a file, as (name, type), by their read names."""
    return {dataset.read_name(name): (name, file_type) for name, file_type in columns}


def _select(
    dataset: Dataset, schema: Mapping[str, ReadType], branch: Branch, dialect: Dialect
) -> str:
    published = _published(dataset, branch.columns)
    parts = [
        f"{branch.source_month} as source_month",
        f"{branch.file_key} as file_key",
        f"cast({branch.row_ordinal} as bigint) as row_ordinal",
    ]
    for name, read_type in schema.items():
        parts.append(f"{_value(published.get(name), read_type, dialect)} as {dialect.quote(name)}")
    return f"select {', '.join(parts)} from {branch.relation}"


def _value(published: tuple[str, str] | None, read_type: ReadType, dialect: Dialect) -> str:
    """SQL of a column under its read type; an empty CSV field becomes null."""
    if published is None:
        return f"cast(null as {dialect.sql_type(read_type)})"
    name, file_type = published
    value = dialect.quote(name)
    if file_type == TEXT:
        value = f"nullif({value if read_type == 'text' else f'trim({value})'}, '')"
    return dialect.cast(value, file_type, read_type)


def _select_nothing(schema: Mapping[str, ReadType], dialect: Dialect) -> str:
    columns = ORIGIN | {n: dialect.sql_type(t) for n, t in schema.items()}
    parts = (f"cast(null as {t}) as {dialect.quote(name)}" for name, t in columns.items())
    return f"select {', '.join(parts)} where 1 = 0"
