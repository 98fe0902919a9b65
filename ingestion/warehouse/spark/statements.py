"""Statements of a session in Spark's own words, and what its metastore tells."""

import json
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date
from typing import TYPE_CHECKING, Any

from ingestion.errors import WarehouseError
from ingestion.warehouse.base import Column, Kind, Most, Result
from ingestion.warehouse.spark.connection import error_of, one_line

if TYPE_CHECKING:
    import pyarrow as pa

FETCH_ROWS = 10_000
POLL_SECONDS = 0.05
# how `show table extended` spells types, where SQL spells them otherwise
_SQL_TYPES = {"long": "bigint", "integer": "int", "short": "smallint", "byte": "tinyint"}
_COLUMN = re.compile(r"^ \|-- (.+): ([^:]+) \(nullable = \w+\)$", re.MULTILINE)
_COMMENT = re.compile(r"^Comment: (.*)$", re.MULTILINE)


class Statements:
    """A connection to a Thrift server.

    ``schemas`` are those of the warehouse; the metastore has them with ``prefix`` before the name.
    """

    def __init__(self, connection: Any, schemas: Sequence[str], prefix: str):
        self.connection = connection
        self.prefix = prefix
        self.schemas = schemas
        self._seen: dict[tuple[str, str], list[tuple[str, str, str]]] = {}
        self._is_cancelled = threading.Event()

    def fetch(self, sql: str) -> Result:
        """Run a statement in Spark's own words and fetch its result."""
        with self._done(sql) as cursor:
            if not cursor.description:
                return Result([], [])
            kinds = self._kinds(sql, cursor.description)
            rows = [_row(row, kinds) for row in cursor.fetchall()]
            return Result([name for name, *_ in cursor.description], rows)

    def first(self, sql: str, most: Most) -> Result:
        """Run a query in Spark's own words, and fetch no more than ``most`` of it."""
        with self._done(sql) as cursor:
            kinds = self._kinds(sql, cursor.description or ())
            fetched, is_cut = most.fetch(cursor.fetchmany)
            rows = [_row(row, kinds) for row in fetched]
            return Result([name for name, *_ in cursor.description or ()], rows, is_cut)

    @contextmanager
    def _done(self, sql: str) -> Iterator[Any]:
        """A cursor on a statement that Spark has run to its end.

        The server runs it in another thread than that of the connection. In the latter, statements
        of several sessions at once can break the close of sessions, which then never ends: Spark
        4's jars lack a class of Hive, https://github.com/apache/spark/pull/49736.
        """
        from pyhive.hive import ttypes

        states = ttypes.TOperationState
        running = (states.INITIALIZED_STATE, states.PENDING_STATE, states.RUNNING_STATE)
        with one_line(), self.connection.cursor() as cursor:
            cursor.execute(sql, async_=True)
            # the server answers when the statement has ended, or after some time
            while (told := cursor.poll()).operationState in running:
                # nobody else may use a connection of Thrift that waits for an answer
                if self._is_cancelled.wait(POLL_SECONDS):
                    cursor.cancel()
                    raise WarehouseError("it was cancelled")
            if told.operationState != states.FINISHED_STATE:
                raise error_of(told.errorMessage or "")
            with _of_this_calendar():
                yield cursor

    def cancel(self) -> None:
        """End the query that another thread runs here; that raises ``WarehouseError``."""
        self._is_cancelled.set()

    def run(self, sql: str) -> None:
        """Run a statement in Spark's own words."""
        self._seen.clear()
        with self._done(sql):
            pass

    def batches(self, sql: str) -> "pa.RecordBatchReader":
        """The rows of a query in Spark's own words, with its exact types, in bounded memory."""
        import pyarrow as pa

        described = self.described(sql)
        schema = pa.schema([(name, _arrow_type(kind)) for name, kind in described])
        kinds = [kind for _, kind in described]

        def batches() -> Iterator[pa.RecordBatch]:
            with self._done(sql) as cursor:
                cursor.arraysize = FETCH_ROWS
                while rows := cursor.fetchmany(FETCH_ROWS):
                    columns = zip(*(_row(row, kinds) for row in rows), strict=True)
                    arrays = [
                        pa.array(column, field.type)
                        for column, field in zip(columns, schema, strict=True)
                    ]
                    yield pa.record_batch(arrays, schema=schema)

        return pa.RecordBatchReader.from_batches(schema, batches())

    def described(self, sql: str) -> list[tuple[str, str]]:
        """The name and type of each column that a query gives."""
        return [(name, kind) for name, kind, _ in self.fetch(f"describe query {sql}").rows]

    def relations(self) -> dict[tuple[str, str], Kind]:
        """The kind of every table and view, by schema and name."""
        found: dict[tuple[str, str], Kind] = {}
        for schema in self._there(self.schemas):
            # not `show table extended`, which asks the metastore for each table
            found |= {(schema, name): "table" for name in self.relations_of(schema)}
            views = self.fetch(f"show views in {self._quoted(schema)}").rows
            found |= {(schema, name): "view" for _, name, *_ in views}
        return found

    def relations_of(self, schema: str) -> list[str]:
        """The names of the tables and views of one schema."""
        return [name for _, name, _ in self.fetch(f"show tables in {self._quoted(schema)}").rows]

    def columns(self, schemas: Sequence[str], /) -> list[Column]:
        """The columns of the tables and views of these schemas, in their order."""
        return [
            Column(schema, name, column, _SQL_TYPES.get(kind, kind))
            for schema, name, told in self.told(schemas)
            for column, kind in _COLUMN.findall(told)
        ]

    def comments(self, schemas: Sequence[str], like: str = "*") -> dict[tuple[str, str], str]:
        """The comment on each table and view of these schemas that has one."""
        found = (
            (schema, name, _COMMENT.search(told)) for schema, name, told in self.told(schemas, like)
        )
        return {(schema, name): comment[1] for schema, name, comment in found if comment}

    def told(self, schemas: Sequence[str], name: str = "*") -> list[tuple[str, str, str]]:
        """What Spark says of each table and view, as (schema, name, text)."""
        return [line for schema in self._there(schemas) for line in self._told(schema, name)]

    def _there(self, schemas: Sequence[str]) -> list[str]:
        """Those of these schemas that exist."""
        there = {schema for (schema,) in self.fetch("show schemas").rows}
        return [schema for schema in schemas if f"{self.prefix}{schema}" in there]

    def _quoted(self, schema: str) -> str:
        return f"`{self.prefix}{schema}`"

    def _told(self, schema: str, name: str) -> list[tuple[str, str, str]]:
        # asked once: each question is a way to the server, and its way to the metastore
        if (schema, name) not in self._seen:
            rows = self.fetch(f"show table extended in {self._quoted(schema)} like '{name}'").rows
            self._seen[schema, name] = [
                (schema, relation, told) for _, relation, temporary, told in rows if not temporary
            ]
        return self._seen[schema, name]

    def _kinds(self, sql: str, description: Sequence[Sequence[Any]]) -> list[str]:
        kinds = [str(kind).removesuffix("_TYPE").lower() for _, kind, *_ in description]
        if "timestamp" in kinds:  # with or without a zone
            return [kind for _, kind in self.described(sql)]
        return kinds


@contextmanager
def _of_this_calendar() -> Iterator[None]:
    try:
        yield
    except Exception as exc:
        # a time outside Python's calendar, such as the year 10000; PyHive has no class for it
        if isinstance(exc, ValueError) or type(exc) is Exception:
            raise WarehouseError(f"{exc}: cast it to text") from exc
        raise


def _row(row: Sequence[Any], kinds: Sequence[str]) -> tuple[Any, ...]:
    return tuple(_value(value, kind) for value, kind in zip(row, kinds, strict=True))


def _value(value: Any, kind: str) -> Any:
    if value is None:
        return None
    if kind == "date":
        return date.fromisoformat(value) if isinstance(value, str) else value
    if kind == "timestamp":
        return value.replace(tzinfo=UTC)
    if kind.startswith(("array", "map", "struct")) and isinstance(value, str):
        return json.loads(value)
    return value


def _arrow_type(kind: str) -> "pa.DataType":
    import pyarrow as pa

    if found := re.fullmatch(r"decimal\((\d+),\s*(\d+)\)", kind):
        return pa.decimal128(int(found[1]), int(found[2]))
    types = {
        "tinyint": pa.int8(),
        "smallint": pa.int16(),
        "int": pa.int32(),
        "bigint": pa.int64(),
        "float": pa.float32(),
        "double": pa.float64(),
        "boolean": pa.bool_(),
        "string": pa.string(),
        "binary": pa.binary(),
        "date": pa.date32(),
        "timestamp": pa.timestamp("us", "UTC"),
        "timestamp_ntz": pa.timestamp("us"),
        "void": pa.null(),
    }
    if kind not in types:
        raise WarehouseError(f"a column of Spark's type {kind} cannot be written to a file")
    return types[kind]
