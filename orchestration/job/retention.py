"""Find superseded file versions from which no row of the facts is built any more."""

from datetime import date, timedelta

from ingestion.errors import WarehouseError
from ingestion.settings import Settings
from ingestion.warehouse import engine_for
from ingestion.warehouse.base import Session, tables
from ingestion.warehouse.retention import Superseded
from ingestion.warehouse.retention import superseded as superseded_versions


def superseded(settings: Settings, older_than: timedelta) -> list[Superseded]:
    """Loaded versions that stopped being current before ``older_than`` ago, oldest first.

    Versions from which the present facts were built are left out, so that a trip still leads back
    to its raw row. Raises ``WarehouseError`` if this account may not see from what the facts were
    built.
    """
    return superseded_versions(settings, older_than, _in_facts(settings))


def _in_facts(settings: Settings) -> set[tuple[str, date | None, int]]:
    """Dataset, month and file_key of the versions that the facts were built from."""
    engine = engine_for(settings)
    with engine.session(read_only=True) as session:
        if not _builds_are_there(session):
            return set()
        return set(
            session.query(
                "select service, source_month, file_key from intermediate.month_builds"
                " where table_name = 'marts.fct_trips'"
            ).rows
        )


def _builds_are_there(session: Session) -> bool:
    """Whether dbt has built anything yet.

    Raises ``WarehouseError`` if this account may not see the table; ``tables()`` then leaves it
    out.
    """
    if ("intermediate", "month_builds") in tables(session):
        return True
    if session.hides("intermediate", "month_builds"):
        raise WarehouseError(
            "This account may not see intermediate.month_builds, which says what the facts were"
            " built from, so nothing is dropped. Log in as an account that loads and transforms."
        )
    return False
