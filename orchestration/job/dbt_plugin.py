"""A plugin of dbt-duckdb that lets dbt's connection read the lake in place.

``profiles.yml`` names it, so that ``dbt build`` alone reads the lake as every command does.
"""

from dbt.adapters.duckdb.plugins import BasePlugin
from duckdb import DuckDBPyConnection

from ingestion.lake.reading.attach import attach_lake
from ingestion.settings import load_settings


class Plugin(BasePlugin):
    """Attach the lake's storage if raw data is read in place."""

    def configure_connection(self, conn: DuckDBPyConnection) -> None:
        """Let dbt's connection read the lake; do nothing if raw data was loaded."""
        settings = load_settings()
        if settings.raw == "in_place":
            attach_lake(conn, settings.lake_url)
