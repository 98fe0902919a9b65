"""Which job a dlt client of a warehouse gives to a table."""

from typing import ClassVar

from dlt.common.destination.client import LoadJob, RunnableLoadJob
from dlt.common.destination.typing import PreparedTableSchema
from dlt.destinations.job_client_impl import SqlJobClientBase

from ingestion.dlt_runner import FILE_HINT


class FileVersionClient(SqlJobClientBase):
    """A dlt client with our own job for file versions; the engine's client is its other base."""

    file_version_job: ClassVar[type[RunnableLoadJob]]

    def create_load_job(
        self, table: PreparedTableSchema, file_path: str, load_id: str, restore: bool = False
    ) -> LoadJob:
        """Return our job for a file version and dlt's own for dlt's own tables."""
        if FILE_HINT in table:
            return self.file_version_job(file_path)
        return super().create_load_job(table, file_path, load_id, restore)
