"""A plugin of dbt-duckdb that checks the path of the warehouse before dbt opens it.

``profiles.yml`` names it. If there is no file, DuckDB would create an empty one, and ``dbt build``
alone would then fail at every model.
"""

from pathlib import Path
from typing import Any

from dbt.adapters.duckdb.credentials import DuckDBCredentials
from dbt.adapters.duckdb.plugins import BasePlugin
from dbt_common.exceptions import DbtRuntimeError

from ingestion.setting_values import name_error


class Plugin(BasePlugin):
    """Check the path before it is opened."""

    def update_connection_config(self, creds: DuckDBCredentials, _config: dict[str, Any]) -> None:
        """Raise ``DbtRuntimeError`` if there is no file, or its name is the name of a schema."""
        if creds.path == ":memory:":
            return
        path = Path(creds.path)
        if error := name_error(path):
            raise DbtRuntimeError(f"MEDALLION_DUCKDB_PATH: {error}.")
        if not path.exists():
            raise DbtRuntimeError(
                f"There is no warehouse at {path.absolute()}, the file of MEDALLION_DUCKDB_PATH and"
                " MEDALLION_ENV (a relative path begins in dbt_project). Mend them, or load first:"
                " medallion load, or python -m ingestion."
            )
