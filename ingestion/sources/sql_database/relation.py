"""The rows of a dataset, as one statement of SQLAlchemy and the Arrow schema of its answer.

The database itself writes as text what Parquet has no type for: JSON, arrays, enums and UUIDs. So
every driver gives the same values.
"""

import re
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from ingestion.errors import FetchError
from ingestion.sources.base import Dataset
from ingestion.sources.files.publisher import months_between

if TYPE_CHECKING:
    import pyarrow as pa
    from dlt.common.schema.typing import TTableSchemaColumns
    from sqlalchemy.sql.type_api import TypeEngine

MOST_DIGITS = 38  # of a decimal that every reader of Parquet can read
# the digits, and those after the point, of a decimal that the database does not limit
ANY_DECIMAL = (MOST_DIGITS, 18)
POSTGRES_MOST_DIGITS = 1000  # what psycopg2 gives for no limit is more
# SQLAlchemy's dialects that sqlglot calls otherwise
_SQLGLOT = {"postgresql": "postgres", "mssql": "tsql"}


@dataclass(frozen=True)
class _Value:
    """A column of the database: how it is asked for, and its type in the file."""

    column: sa.ColumnElement[Any]
    asked: sa.ColumnElement[Any]
    file_type: "TypeEngine[Any]"

    @property
    def order(self) -> sa.ColumnElement[Any]:
        """What the rows can be ordered by: not every type has an order, and its text has."""
        return self.column if isinstance(self.column.type, sa.Numeric) else self.asked


@dataclass(frozen=True)
class Rows:
    """What to ask the database for, and what the answer becomes in the file."""

    select: sa.Select[Any]
    answer: sa.Table  # the columns of the answer
    hints: "TTableSchemaColumns"  # and what they are to dlt
    schema: "pa.Schema"  # of the Parquet file
    nulls: sa.Select[Any] | None  # asks whether any row has no cursor, and so no month


def rows_of(connection: sa.Connection, dataset: Dataset, month: date | None) -> Rows:
    """The rows of a dataset, or of one of its months; raises ``FetchError``."""
    options = dataset.options
    relation = (
        _query(connection, options["query"]) if options["query"] else _table(connection, options)
    )
    excluded = options["exclude_columns"]
    if unknown := [name for name in excluded if name not in relation.c]:
        raise FetchError(
            f"exclude_columns names {', '.join(unknown)}, which is not there;"
            f" {_columns_of(relation)}"
        )
    kept: list[sa.ColumnElement[Any]] = [c for c in relation.c if c.name not in excluded]
    values = [_value(column) for column in kept]
    schema = _file_schema(values)
    select = sa.select(*(v.asked.label(v.column.name) for v in values)).select_from(relation)
    nulls = None
    if month:
        cursor = _cursor(relation, options["cursor"])
        select = select.where(*_within(connection, cursor, month))
        if getattr(cursor, "nullable", True):
            nulls = sa.select(sa.exists(sa.select(cursor).where(cursor.is_(None))))
    if not (options["query"] and _is_ordered(options["query"], connection.dialect.name)):
        key: list[sa.ColumnElement[Any]] = list(relation.primary_key)
        select = select.order_by(*(key or [value.order for value in values]))
    answer = _table_of((v.column.name, v.asked.type) for v in values)
    return Rows(select, answer, _hints(answer), schema, nulls)


def _table_of(columns: "Iterable[tuple[str, TypeEngine[Any]]]") -> sa.Table:
    return sa.Table("rows", sa.MetaData(), *(sa.Column(name, t) for name, t in columns))


def _hints(table: sa.Table) -> "TTableSchemaColumns":
    from dlt.sources.sql_database.schema_types import table_to_columns

    def as_dlt_knows_it(of_type: "TypeEngine[Any]") -> "TypeEngine[Any]":
        # dlt takes a double for a kind of decimal, as it was before SQLAlchemy 2.1
        return sa.Numeric(asdecimal=False) if isinstance(of_type, sa.Float) else of_type

    return table_to_columns(table, "full", as_dlt_knows_it)


def _file_schema(values: Sequence[_Value]) -> "pa.Schema":
    """The columns of the Parquet file, with the types that dlt gives them."""
    import pyarrow as pa
    from dlt.common.destination import DestinationCapabilitiesContext
    from dlt.common.libs.pyarrow import get_py_arrow_datatype

    capabilities = DestinationCapabilitiesContext.generic_capabilities()
    hints = _hints(_table_of((v.column.name, v.file_type) for v in values))
    for value in values:
        _require_a_type(value, hints[value.column.name])
    return pa.schema(
        (name, get_py_arrow_datatype(hint, capabilities, "UTC")) for name, hint in hints.items()
    )


def _table(connection: sa.Connection, options: Mapping[str, Any]) -> sa.FromClause:
    name, schema = options["table"], options["schema"]
    try:
        with warnings.catch_warnings():
            # the type of a column that is not recognized, and that may be excluded
            warnings.simplefilter("ignore", sa.exc.SAWarning)
            return sa.Table(
                name, sa.MetaData(), schema=schema, autoload_with=connection, resolve_fks=False
            )
    except sa.exc.NoSuchTableError:
        where = f" in the schema {schema}" if schema else ""
        raise FetchError(
            f"there is no table {name}{where}, or this account may not see it; both names are as"
            " the database spells them"
        ) from None


def _query(connection: sa.Connection, query: str) -> sa.FromClause:
    """A query in the place of a table."""
    # a colon is no parameter here, and a comment at the end ends with its line
    text = sa.text(re.sub(r"(?<!:):(?=\w)", r"\\:", query) + "\n")
    describe = _described_by_postgres if connection.dialect.name == "postgresql" else _described
    columns = describe(connection, text)
    names = Counter(column.name for column in columns)
    if twice := [name for name, count in names.items() if count > 1]:
        raise FetchError(f"there are two columns {', '.join(twice)}; give each its own name")
    return text.columns(*columns).subquery("queried")


def _described(connection: sa.Connection, query: sa.TextClause) -> list[sa.ColumnClause[Any]]:
    """The columns of a query, from a temporary view of it."""
    name = "medallion_described"
    connection.execute(sa.text(f"create temporary view {name} as {query.text}"))
    found = {c["name"]: c["type"] for c in sa.inspect(connection).get_columns(name)}
    if any(isinstance(of_type, sa.types.NullType) for of_type in found.values()):
        # SQLite gives a view's computed columns no type; a table made from it has that of a cast
        copy = f"{name}_copy"
        connection.execute(
            sa.text(f"create temporary table {copy} as select * from {name} limit 0")
        )
        for column in sa.inspect(connection).get_columns(copy):
            if isinstance(found[column["name"]], sa.types.NullType):
                found[column["name"]] = column["type"]
    connection.rollback()
    return [sa.column(column, of_type) for column, of_type in found.items()]


def _described_by_postgres(
    connection: sa.Connection, query: sa.TextClause
) -> list[sa.ColumnClause[Any]]:
    """The columns of a query, from an empty answer: a replica lets nobody make a view."""
    names = connection.dialect.ischema_names  # type: ignore[attr-defined]  # of every PostgreSQL
    nothing = sa.select(sa.text("*")).select_from(sa.text(f"({query.text}) queried")).limit(0)
    description = connection.execute(nothing).cursor.description
    oids: sa.BindParameter[Any] = sa.bindparam(
        "oids", [column[1] for column in description], expanding=True
    )
    kinds: dict[Any, tuple[Any, Any]] = {
        oid: (spelled, typtype)
        for oid, spelled, typtype in connection.execute(
            sa.text(
                "select oid, format_type(oid, null), typtype from pg_type where oid in :oids"
            ).bindparams(oids)
        )
    }
    columns = []
    for name, oid, _, _, precision, scale, _ in description:
        spelled, typtype = kinds.get(oid, ("", ""))
        element, brackets, _ = spelled.partition("[]")
        made: Any = sa.Text if typtype == "e" else names.get(element, sa.types.NullType)
        of_type = made()
        if isinstance(of_type, sa.Numeric) and not isinstance(of_type, sa.Float):
            is_limited = precision and precision <= POSTGRES_MOST_DIGITS
            of_type = sa.Numeric(precision, scale) if is_limited else sa.Numeric()
        elif isinstance(of_type, sa.DateTime | sa.Time):
            of_type = made(timezone=element.endswith("with time zone"))
        columns.append(sa.column(name, postgresql.ARRAY(of_type) if brackets else of_type))
    return columns


def _value(column: sa.ColumnElement[Any]) -> _Value:
    of_type = column.type
    if isinstance(of_type, postgresql.DOMAIN):
        of_type = of_type.data_type
    as_text = sa.cast(column, sa.Text)
    if isinstance(of_type, sa.ARRAY):
        return _Value(column, sa.cast(sa.func.to_json(column), sa.Text), sa.Text())
    if isinstance(of_type, sa.JSON | sa.Uuid | sa.Enum):
        return _Value(column, as_text, sa.Text())
    if isinstance(of_type, sa.Float):
        # drivers widen the four bytes of a real in two ways: as bits, or as the digits shown
        is_wide = isinstance(of_type, sa.Double)
        return _Value(column, column if is_wide else sa.cast(column, sa.Double), sa.Double())
    if isinstance(of_type, sa.Numeric):
        # as text, for some drivers give a decimal as a double, or round it
        return _Value(column, as_text, _decimal(of_type))
    return _Value(column, column if of_type is column.type else sa.cast(column, of_type), of_type)


def _decimal(of_type: sa.Numeric[Any]) -> sa.Numeric[Any]:
    """A decimal as Parquet can declare it: all its digits, and none of them negative."""
    if of_type.precision is None:
        return sa.Numeric(*ANY_DECIMAL)
    scale = of_type.scale or 0
    return sa.Numeric(max(of_type.precision - min(scale, 0), scale), max(scale, 0))


def _require_a_type(value: _Value, hint: Mapping[str, Any]) -> None:
    problem = ""
    if "data_type" not in hint:
        problem = f"has a type that no Parquet type holds: {_spelled(value.file_type)}"
    elif isinstance(value.file_type, sa.Time) and value.file_type.timezone:
        problem = "is a time with a zone, which no Parquet type holds"
    elif hint["data_type"] == "decimal" and hint["precision"] > MOST_DIGITS:
        problem = f"is a decimal of {hint['precision']} digits, where {MOST_DIGITS} are the most"
    if problem:
        raise FetchError(
            f"column {value.column.name} {problem}; leave it out by exclude_columns, or give a"
            " query that casts it, for example to text"
        )


def _spelled(of_type: "TypeEngine[Any]") -> str:
    unknown = isinstance(of_type, sa.types.NullType)
    return "one that SQLAlchemy does not know" if unknown else type(of_type).__name__.lower()


def _cursor(relation: sa.FromClause, name: str) -> sa.ColumnElement[Any]:
    if name not in relation.c:
        raise FetchError(f"there is no column {name}, its cursor; {_columns_of(relation)}")
    return relation.c[name]


def _within(
    connection: sa.Connection, cursor: sa.ColumnElement[Any], month: date
) -> Sequence[sa.ColumnElement[bool]]:
    """The conditions that the cursor lies in a month; a time with a zone counts by UTC."""
    first, after = months_between(month, month + timedelta(days=31))
    of_type = cursor.type
    is_time = isinstance(of_type, sa.Date | sa.DateTime)
    if isinstance(of_type, sa.String) or (is_time and connection.dialect.name == "sqlite"):
        # SQLite has times as text, with or without a T, seconds and fractions
        cursor = sa.type_coerce(cursor, sa.String)
        return cursor >= f"{first:%Y-%m}", cursor < f"{after:%Y-%m}"
    if isinstance(of_type, sa.DateTime):
        zone = UTC if of_type.timezone else None
        start = datetime.combine(first, datetime.min.time(), zone)
        return cursor >= start, cursor < datetime.combine(after, datetime.min.time(), zone)
    if isinstance(of_type, sa.Date):
        return cursor >= first, cursor < after
    raise FetchError(
        f"the cursor {cursor.name} is {_spelled(of_type)}; it must be a date, a timestamp, or text"
        " that begins as 2024-01-31"
    )


def _is_ordered(query: str, dialect: str) -> bool:
    """Whether the author of a query gave its rows an order."""
    import sqlglot

    try:
        parsed = sqlglot.parse_one(query, dialect=_SQLGLOT.get(dialect, dialect))
    except (sqlglot.errors.SqlglotError, ValueError):  # not understood, or an unknown dialect
        return False
    return bool(parsed.args.get("order"))


def _columns_of(relation: sa.FromClause) -> str:
    return f"its columns are {', '.join(column.name for column in relation.c)}"
