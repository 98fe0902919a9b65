"""Reads rows by dlt's table loaders, as Arrow tables in bounded memory.

The loaders are what dlt's ``sql_table`` reads with. A resource of dlt outside a pipeline would take
its settings from the environment and from ``.dlt`` folders, which may be meant for other projects.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from dlt.common.libs.pyarrow import PyToArrowConversionException
from dlt.sources.sql_database import BaseTableLoader, TableLoader
from sqlalchemy.dialects import postgresql

from ingestion.errors import FetchError, first_line
from ingestion.sources.sql_database.relation import Rows

CHUNK_ROWS = 2_000  # a row may be of any size


class AdbcLoader(BaseTableLoader):
    """A loader of dlt that reads PostgreSQL's binary COPY by ADBC, with no Python value a row."""

    def load_rows(self, backend_kwargs: Any = None) -> Iterator[pa.Table]:  # noqa: ARG002
        """Give the rows in tables of about 16 MB, which is ADBC's own size."""
        from adbc_driver_postgresql import dbapi

        statement = self.compile_query(self.make_query())
        with dbapi.connect(self.get_connection_url()) as connection, connection.cursor() as cursor:
            cursor.execute("set transaction read only")
            # the server writes a time in an array as text, in the time zone of the session
            cursor.execute("set local time zone 'UTC'")
            cursor.execute(statement)
            for batch in cursor.fetch_record_batch():
                yield pa.Table.from_batches([batch])

    def get_connection_url(self) -> str:
        """What psycopg2 connects with; both drivers give it to libpq."""
        from psycopg2.extensions import make_dsn

        _, parameters = self.engine.dialect.create_connect_args(self.engine.url)
        return str(make_dsn(**parameters))

    def compile_query(self, query: Any) -> str:
        """The statement with its values; the dialect of psycopg2 would double each %."""
        dialect = postgresql.base.PGDialect(paramstyle="named")  # type: ignore[no-untyped-call]
        return str(query.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))


def read(engine: sa.Engine, rows: Rows) -> Iterator[pa.Table]:
    """The rows in the database's order, in tables of the schema of ``rows``."""
    is_postgres = engine.dialect.name == "postgresql"
    loader_class: type[BaseTableLoader] = AdbcLoader if is_postgres else TableLoader
    loader = loader_class(
        engine,
        "pyarrow",
        rows.answer,
        rows.hints,
        chunk_size=CHUNK_ROWS,
        query_adapter_callback=lambda _query, _table: rows.select,
    )
    try:
        for table in _ahead(loader):
            yield _conformed(table, rows.schema)
    except PyToArrowConversionException as exc:
        raise _no_such_value(exc.field_name, exc.inferred_arrow_type) from exc


def _ahead(loader: BaseTableLoader) -> Iterator[pa.Table]:
    """The tables of a loader; the next one is read while the last one is written."""
    tables: Any = loader.load_rows()
    with ThreadPoolExecutor(1, thread_name_prefix="read") as pool:
        ahead = pool.submit(next, tables, None)
        try:
            while (table := ahead.result()) is not None:
                ahead = pool.submit(next, tables, None)
                yield table
        finally:
            pool.submit(tables.close)  # where it was read: a connection may belong to its thread


def _conformed(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table in the given types; raises ``FetchError`` where a value would change."""
    columns = []
    for column, field in zip(table.columns, schema, strict=True):
        try:
            columns.append(column.cast(field.type))
        except pa.ArrowInvalid as exc:
            raise _no_such_value(field.name, field.type, f": {first_line(exc)}") from exc
    return pa.Table.from_arrays(columns, schema=schema)


def _no_such_value(column: str, arrow_type: Any, why: str = "") -> FetchError:
    return FetchError(
        f"column {column} holds a value that is no {arrow_type}{why}; leave it out by"
        " exclude_columns, or give a query that casts it"
    )
