"""Drop raw tables of versions that were superseded long ago. The lake keeps every version."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ingestion.errors import WarehouseError
from ingestion.lake.catalog import Catalog
from ingestion.settings import Settings
from ingestion.warehouse import engine_for
from ingestion.warehouse.base import Session, drop_raw, files_are_there, tables

NOT_IN_FACTS = (
    " and not exists (select 1 from intermediate.month_builds as b"
    " where b.table_name = 'marts.fct_trips' and b.service = f.dataset"
    " and b.source_month = f.month and b.file_key = f.file_key)"
)


@dataclass(frozen=True)
class Superseded:
    """A loaded version that no reader sees: another one of the same file is current."""

    table_name: str
    landed_at: datetime
    rows: int


def superseded(settings: Settings, older_than: timedelta) -> list[Superseded]:
    """Versions that are loaded, not current, and were landed longer ago than that; oldest first.

    Not those that the facts were built from and still are: a trip leads back to its raw row. Nor
    those that the lake's catalog does not know: nobody else may have them. Raises
    ``WarehouseError`` where this account may not see what the facts were built from.
    """
    in_lake = {version.table_name for version in Catalog(settings.lake_url).versions()}
    engine = engine_for(settings)
    with engine.session(read_only=True) as session:
        if not files_are_there(session):
            return []
        found = session.query(
            "select table_name, landed_at, row_count from raw.files as f"
            " where status = 'loaded' and not is_current and landed_at < ?"
            + (NOT_IN_FACTS if _builds_are_there(session) else "")
            + " order by landed_at",
            [datetime.now(UTC) - older_than],
        )
    return [Superseded(*row) for row in found.rows if row[0] in in_lake]


def _builds_are_there(session: Session) -> bool:
    """Whether dbt has built anything yet; what one may not see is not there to ``tables()``."""
    if ("intermediate", "month_builds") in tables(session):
        return True
    hidden = session.query(
        "select 1 from pg_class as c inner join pg_namespace as n on c.relnamespace = n.oid"
        " where n.nspname = 'intermediate' and c.relname = 'month_builds'"
    ).rows
    if hidden:
        raise WarehouseError(
            "This account may not see intermediate.month_builds, which says what the facts were"
            " built from, so nothing is dropped. Log in as one that loads and transforms."
        )
    return False


def prune(settings: Settings, versions: list[Superseded]) -> None:
    """Drop the raw tables of these versions, each with its load record in one transaction.

    A version that has become current meanwhile is left alone. What is dropped can be loaded again
    from the lake.
    """
    engine = engine_for(settings)
    with engine.session() as session:
        for version in versions:
            with session.transaction():
                still = session.query(
                    "select 1 from raw.files where table_name = ? and not is_current",
                    [version.table_name],
                )
                if still.rows:
                    drop_raw(session, engine.dialect, version.table_name)
                    session.execute(
                        "delete from raw.files where table_name = ?", [version.table_name]
                    )
