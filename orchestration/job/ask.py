"""Run a user's query on an open warehouse or publication."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ingestion.errors import UsageError, WarehouseError
from ingestion.sources import registry
from ingestion.warehouse.base import Most, Result, Session

if TYPE_CHECKING:
    import pyarrow as pa

# DuckDB would show only tables of the schema main; PostgreSQL does not know these statements
_SHOW_TABLES = re.compile(r"\s*(show\s+(all\s+)?tables|describe)\s*;?\s*$", re.IGNORECASE)
_CANCEL_AGAIN_SECONDS = 0.5


def answer(session: Session, sql: str, most: Most | None = None) -> Result:
    """The result of one statement that reads; with ``most``, no more of it.

    ``show tables`` shows the tables and views of the warehouse on every engine. Raises
    ``WarehouseError`` with the engine's reason.
    """
    if _SHOW_TABLES.match(sql):
        return _tables(session)
    return session.read_first(sql, most) if most else session.read(sql)


def batches(session: Session, sql: str) -> "pa.RecordBatchReader":
    """Like ``answer``, in batches."""
    if not _SHOW_TABLES.match(sql):
        return session.arrow(sql)
    import pyarrow as pa

    found = _tables(session)
    columns = list(zip(*found.rows, strict=True)) or [()] * len(found.columns)
    return pa.table([pa.array(c, pa.string()) for c in columns], names=found.columns).to_reader()


@contextmanager
def within(seconds: float, session: Session) -> Iterator[None]:
    """End what a ``with`` block runs in this session after so many seconds.

    Raises ``UsageError`` then. The session is of no use afterwards.
    """
    is_done, is_over = threading.Event(), threading.Event()

    def watch() -> None:
        wait = seconds
        # a statement may begin just after it was told to end
        while not is_done.wait(wait):
            is_over.set()
            session.cancel()
            wait = _CANCEL_AGAIN_SECONDS

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    except WarehouseError:
        if not is_over.is_set():
            raise
    finally:
        is_done.set()
        watcher.join()
    if is_over.is_set():
        raise UsageError(
            f"The query took more than {seconds:g} seconds, and was ended. Ask for less: fewer"
            " months, or a mart in place of the facts."
        )


def _tables(session: Session) -> Result:
    schemas = ("raw", *registry.schemas(), "staging", "intermediate", "marts")
    found = sorted((*named, kind) for named, kind in session.relations().items())
    return Result(
        ["table_schema", "table_name", "table_type"],
        [
            (schema, name, "VIEW" if kind == "view" else "BASE TABLE")
            for schema, name, kind in found
            if schema in schemas
        ],
    )
