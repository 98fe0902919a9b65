"""The settings of a session that results depend on."""

from ingestion.errors import MedallionError
from ingestion.warehouse.spark.statements import Statements

# by name: the value, and what would go wrong without it
SESSION = {
    "spark.sql.ansi.enabled": ("true", "a wrong value would become null in silence"),
    "spark.sql.session.timeZone": ("UTC", "moments would be shifted"),
    "spark.sql.timestampType": ("TIMESTAMP_NTZ", "New York's times would get a zone"),
    "spark.sql.sources.partitionOverwriteMode": (
        "dynamic",
        "replacing one month would delete the others",
    ),
    "spark.sql.legacy.parquet.nanosAsLong": ("false", "moments would become numbers"),
}
CATALOG = "spark.sql.catalogImplementation"


def put_in_force(session: Statements) -> None:
    """Set them for this session; raise ``MedallionError`` where one is not in force then."""
    for name, (value, _) in SESSION.items():
        session.run(f"set {name}={value}")
    if lacking_now := lacking(session):
        raise MedallionError(" ".join(lacking_now))


def lacking(session: Statements) -> list[str]:
    """A sentence for each setting that is not in force."""
    found = []
    ((_, catalog),) = session.fetch(f"set {CATALOG}").rows
    if catalog != "hive":
        found.append(
            f"Spark's server has no metastore ({CATALOG}={catalog}), so it would forget every table"
            " when it stops: start it with Hive support, as docs/spark.md says."
        )
    for name, (value, harm) in SESSION.items():
        ((_, now),) = session.fetch(f"set {name}").rows
        if now.lower() != value.lower():
            found.append(
                f"Spark's session has {name}={now}, and {harm}: set it to {value} on the server."
            )
    return found
