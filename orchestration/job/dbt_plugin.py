"""What dbt's DuckDB connection needs to read the lake in place: a plugin of dbt-duckdb.

``profiles.yml`` names it, so that ``dbt build`` by itself reads the lake as every command does.
"""

from dbt.adapters.duckdb.plugins import BasePlugin
from duckdb import DuckDBPyConnection

from ingestion.lake.reading.attach import attach_lake
from ingestion.settings import load_settings


class Plugin(BasePlugin):
    """Attach the lake's store where raw data is read in place."""

    def configure_connection(self, conn: DuckDBPyConnection) -> None:
        """Let dbt's connection read the lake; nothing to do where raw data was loaded."""
        settings = load_settings()
        if settings.raw == "in_place":
            attach_lake(conn, settings.lake_url)
