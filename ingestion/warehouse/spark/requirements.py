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


def asked() -> dict[str, str]:
    """The value that each session asks for when it is opened, by the setting's name."""
    return {name: value for name, (value, _) in SESSION.items()}


def refuse_lacking(session: Statements, table_format: str) -> None:
    """Raise ``MedallionError`` where one is not in force: a proxy may leave out what was asked."""
    if lacking_now := lacking(session, table_format):
        raise MedallionError(" ".join(lacking_now))


def lacking(session: Statements, table_format: str) -> list[str]:
    """A sentence for each setting that is not in force, for tables of this format."""
    now = _in_force(session)
    found = []
    if now[METASTORE] != "hive":
        found.append(
            f"Spark's server has no metastore ({METASTORE}={now[METASTORE]}), so it would forget"
            " every table when it stops: start it with Hive support, as docs/spark.md says."
        )
    if table_format == "iceberg" and "iceberg" not in now[CATALOG]:
        found.append(
            "MEDALLION_SPARK_FORMAT is iceberg, but Spark's server has no catalog of Iceberg"
            f" ({CATALOG}={now[CATALOG]}): start it with one, as docs/spark.md says, or unset"
            " MEDALLION_SPARK_FORMAT."
        )
    for name, (value, harm) in SESSION.items():
        if now[name].lower() != value.lower():
            found.append(
                f"Spark's session has {name}={now[name]}, and {harm}: set it to {value} on the"
                " server."
            )
    return found


def _in_force(session: Statements) -> dict[str, str]:
    """What each setting is in this session, by its name; one statement lists all that are set."""
    now = {name: value for name, value, *_ in session.fetch("set").rows}
    for name in (*SESSION, METASTORE, CATALOG):
        if name not in now:  # nobody has set it: asked for alone, it has its default
            ((_, now[name], *_),) = session.fetch(f"set {name}").rows
    return now
