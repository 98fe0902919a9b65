"""The warehouses that raw data is loaded into, behind one small interface.

``connect`` opens the warehouse that the settings name. An engine knows how to reach its server, how
to read a raw table, and which dlt destination loads it. Only ``ingestion.load`` decides what is
loaded and shown.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from ingestion.errors import UsageError
from ingestion.settings import Settings
from ingestion.warehouse.base import Engine, Session


def engine_for(settings: Settings) -> Engine:
    """The engine that the settings name; importing it opens nothing."""
    if settings.target == "spark":
        from ingestion.warehouse.spark.engine import Spark

        return Spark(settings)
    if settings.raw == "in_place":
        if settings.target != "duckdb":
            raise UsageError(
                f"MEDALLION_RAW=in_place is for DuckDB, which can read the lake; {settings.target}"
                " has to be loaded: unset MEDALLION_RAW, or set MEDALLION_TARGET=duckdb."
            )
        from ingestion.warehouse.duckdb.in_place import DuckDbInPlace

        return DuckDbInPlace(settings)
    if settings.target == "duckdb":
        from ingestion.warehouse.duckdb.engine import DuckDb

        return DuckDb(settings)
    if settings.target == "postgres":
        from ingestion.warehouse.postgres.engine import Postgres

        return Postgres(settings)
    raise UsageError(f"MEDALLION_TARGET: {settings.target} does not work yet.")


@contextmanager
def connect(settings: Settings, read_only: bool = False) -> Iterator[Session]:
    """Open the warehouse for the length of a ``with`` block.

    Raises ``MedallionError`` where it is not there or cannot be reached, ``WarehouseBusyError``
    where another process holds it.
    """
    with engine_for(settings).session(read_only) as session:
        yield session
