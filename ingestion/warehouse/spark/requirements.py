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
    "spark.sql.parquet.datetimeRebaseModeInRead": (
        "CORRECTED",
        "days before 1582 would be shifted",
    ),
    "spark.sql.parquet.int96RebaseModeInRead": ("CORRECTED", "days before 1582 would be shifted"),
    "spark.sql.files.ignoreCorruptFiles": ("false", "a damaged file would have fewer rows"),
    "spark.sql.files.ignoreMissingFiles": ("false", "a missing file would have no rows"),
    "spark.sql.variable.substitute": (
        "false",
        "${env:NAME} in a query, or in a name, would become what the server's variable says",
    ),
}
METASTORE = "spark.sql.catalogImplementation"
CATALOG = "spark.sql.catalog.spark_catalog"


def put_in_force(session: Statements, table_format: str) -> None:
    """Set them for this session; raise ``MedallionError`` where one is not in force then."""
    for name, (value, _) in SESSION.items():
        session.run(f"set {name}={value}")
    if lacking_now := lacking(session, table_format):
        raise MedallionError(" ".join(lacking_now))


def lacking(session: Statements, table_format: str) -> list[str]:
    """A sentence for each setting that is not in force, for tables of this format."""
    found = []
    ((_, metastore),) = session.fetch(f"set {METASTORE}").rows
    if metastore != "hive":
        found.append(
            f"Spark's server has no metastore ({METASTORE}={metastore}), so it would forget every"
            " table when it stops: start it with Hive support, as docs/spark.md says."
        )
    ((_, catalog),) = session.fetch(f"set {CATALOG}").rows
    if table_format == "iceberg" and "iceberg" not in catalog:
        found.append(
            "MEDALLION_SPARK_FORMAT is iceberg, but Spark's server has no catalog of Iceberg"
            f" ({CATALOG}={catalog}): start it with one, as docs/spark.md says, or unset"
            " MEDALLION_SPARK_FORMAT."
        )
    for name, (value, harm) in SESSION.items():
        ((_, now),) = session.fetch(f"set {name}").rows
        if now.lower() != value.lower():
            found.append(
                f"Spark's session has {name}={now}, and {harm}: set it to {value} on the server."
            )
    return found
