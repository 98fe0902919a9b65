"""How the versions of a warehouse are read, as raw.files says."""

from ingestion.load import load
from ingestion.settings import Settings
from ingestion.warehouse import connect


def readings(settings: Settings) -> list[tuple[str | None, str | None]]:
    """``read_as`` and ``read_as_at_upgrade`` of each version that is shown, by table name."""
    sql = "select read_as, read_as_at_upgrade from raw.files where is_current order by table_name"
    with connect(settings, read_only=True) as session:
        return session.query(sql).rows


def set_readings(settings: Settings, read_as: str) -> None:
    """Write what an earlier release may have left; ``read_as`` is SQL."""
    with connect(settings) as session, session.transaction():
        session.execute(f"update raw.files set read_as = {read_as}")


def follow_through_an_upgrade(settings: Settings) -> None:
    """Check that a load records how loaded versions are read, and keeps what was found first."""
    before = readings(settings)
    assert all(read_as and at_upgrade is None for read_as, at_upgrade in before)
    set_readings(settings, "null")  # an earlier release wrote none
    assert load(settings).loaded == []
    upgraded = [(read_as, read_as) for read_as, _ in before]
    assert readings(settings) == upgraded
    set_readings(settings, "'read in another way'")
    assert load(settings).loaded == []
    assert readings(settings) == upgraded
