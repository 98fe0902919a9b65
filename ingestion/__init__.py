"""Loads what sources publish, unchanged, into the lake and the warehouse.

Source → ``land`` → lake → ``load`` → raw tables and read views. Everything here
is dlt and plain functions; it knows neither the transformer nor the orchestrator.

Whoever only wants rows asks ``dataset``, which needs the lake and no warehouse.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import date

    import pyarrow as pa

    from ingestion.settings import Settings

__all__ = ["dataset"]


def dataset(
    name: str,
    start: "str | date | None" = None,
    end: "str | date | None" = None,
    as_of: "str | date | None" = None,
    columns: str | Sequence[str] | None = None,
    settings: "Settings | None" = None,
) -> "pa.RecordBatchReader":
    """Read one dataset from the lake, wherever it lies, a batch at a time.

    One row is one row of a published file. ``source_month``, ``file_key`` and ``row_ordinal`` say
    which; the other columns are those of every era under their lower-case published names, each
    of the widest type that any file has. No value changes, and no row is left out; rows come in
    no promised order.

    Args:
        name: A dataset of any source, as ``medallion land --help`` lists them.
        start: The first month, as ``"2024-01"`` or any date or time in it; without it, the first
            there is.
        end: The last month, which is part of it.
        as_of: Read what the lake held at the end of this day (UTC), a date or ``"2024-05-01"``;
            a time is taken as its date; without it, the newest version of each month.
        columns: Only these, or this one, in this order; files are not read for the others.
        settings: Where the lake is; without them, what the environment and ``.env`` say.

    Nothing is read before the first batch is asked for but the catalog and a few file footers, and
    no more than some batches are held at any time. The reader goes as it is to
    ``polars.from_arrow``, to DuckDB (by its variable's name) and, by ``.read_pandas()``, to pandas.

    Raises ``UsageError`` for a name, month, day or column that does not exist or is none: so it is
    where months are named and the lake has never held one of them. Raises ``MedallionError`` where
    the lake or a file of it cannot be read.

    """
    # importing ingestion stays cheap
    from ingestion.lake.reading.arrow import read

    return read(name, start, end, as_of, columns, settings)
