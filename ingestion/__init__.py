"""Loads what sources publish, unchanged, into the lake and the warehouse.

Source → ``land`` → lake → ``load`` → raw tables and read views. Everything here
is dlt and plain functions; it knows neither the transformer nor the orchestrator.

To read rows only, call ``dataset``: it needs the lake and no warehouse. To read a published mart,
call ``marts``.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import date

    import pyarrow as pa

    from ingestion.settings import Settings

__all__ = ["dataset", "marts"]


def dataset(
    name: str,
    start: "str | date | None" = None,
    end: "str | date | None" = None,
    as_of: "str | date | None" = None,
    columns: str | Sequence[str] | None = None,
    settings: "Settings | None" = None,
) -> "pa.RecordBatchReader":
    """Read one dataset from the lake, in a folder or a bucket, a batch at a time.

    One row is one row of a published file; ``source_month``, ``file_key`` and ``row_ordinal`` say
    which. The other columns are those of all eras, under their lower-case published names, each
    with the widest type that any file has. No value is changed and no row is left out. The order
    of rows is not defined.

    Args:
        name: A dataset of any source, as ``medallion land --help`` lists them.
        start: The first month, as ``"2024-01"`` or any date or time in it; by default the first
            month of the dataset.
        end: The last month, included.
        as_of: Read what the lake held at the end of this day (UTC), a date or ``"2024-05-01"``; a
            time counts as its date. By default, the newest version of each month.
        columns: Only these columns, or this one, in this order; the others are not read.
        settings: Where the lake is; by default, as the environment and ``.env`` say.

    Before the first batch is asked for, only the catalog and a few file footers are read. At most a
    few batches are in memory at any time. Pass the reader as it is to ``polars.from_arrow``, to
    DuckDB (by its variable's name) or, by ``.read_pandas()``, to pandas.

    Raises ``UsageError`` for an unknown or invalid name, month, day or column, also where the lake
    has never held any of the months asked for. Raises ``MedallionError`` where the lake or one of
    its files cannot be read.

    """
    # importing ingestion stays cheap
    from ingestion.lake.reading.arrow import read

    return read(name, start, end, as_of, columns, settings)


def marts(
    name: str,
    start: "str | date | None" = None,
    end: "str | date | None" = None,
    columns: str | Sequence[str] | None = None,
    publication: str | None = None,
    settings: "Settings | None" = None,
) -> "pa.RecordBatchReader":
    """Read one mart as it was published, in a folder or a bucket, a batch at a time.

    A run that is under way makes nobody wait, and nothing that it has not tested is seen. The order
    of rows is not defined.

    Args:
        name: A mart, as ``"daily_trips"``; docs/data.md describes each.
        start: The first month by ``source_month``, as ``"2024-01"`` or any date or time in it. Only
            for marts that are built by the month.
        end: The last month, included.
        columns: Only these columns, or this one, in this order; the others are not read.
        publication: Which publication, by its id or by a day, as ``"2024-05-01"``; by default the
            one that readers see now.
        settings: Where publications are; by default, as the environment and ``.env`` say.

    Raises ``UsageError`` for an unknown mart, month, column or publication, and where nothing was
    published. Raises ``MedallionError`` where a file cannot be read.

    """
    from ingestion.publications.arrow import read

    return read(name, start, end, columns, publication, settings)
