"""The lake as a dlt destination: a job that copies bytes unchanged and reads them back."""

import hashlib
from pathlib import Path

from dlt.common.destination.client import LoadJob
from dlt.common.destination.exceptions import (
    DestinationTerminalException,
    DestinationTransientException,
)
from dlt.common.destination.typing import PreparedTableSchema
from dlt.destinations import filesystem
from dlt.destinations.impl.filesystem.filesystem import FilesystemClient, FilesystemLoadJob

from ingestion.destinations.references import FILE_HINT, referenced_url

LAYOUT = "{schema_name}/{table_name}.{ext}"


class LandFileJob(FilesystemLoadJob):
    """Copy the referenced file into the lake, bytes unchanged, and prove it by its sha256."""

    def run(self) -> None:
        """Put the file under its final name only when it is whole; read it back and compare."""
        fs = self._job_client.fs_client
        source = referenced_url(self._file_path)
        target = self.make_remote_path()
        if self._job_client.config.is_local_filesystem:
            try:
                # a copy that is killed half-way must not bear the file's name
                fs.makedirs(str(Path(target).parent), exist_ok=True)
                fs.put_file(source, f"{target}.partial")
                fs.mv(f"{target}.partial", target)
            except OSError as exc:  # a full or read-only disk stays so
                raise DestinationTerminalException(str(exc)) from exc
        else:
            fs.put_file(source, target)
        with fs.open(target, "rb") as stored:
            found = hashlib.file_digest(stored, "sha256").hexdigest()
        expected = self._load_table[FILE_HINT]["file_id"]  # type: ignore[literal-required]
        if found != expected:
            raise DestinationTransientException(
                f"{target} was written with sha256 {expected} and reads back as {found}"
            )

    def make_remote_file_path(self, file_name: str) -> str:
        """Name the object after the file it holds, not after the job's format."""
        file_format = self._load_table[FILE_HINT]["file_format"]  # type: ignore[literal-required]
        return super().make_remote_file_path(f"{file_name.rpartition('.')[0]}.{file_format}")


class LakeClient(FilesystemClient):
    """dlt's filesystem client, with our job for published files."""

    def create_load_job(
        self, table: PreparedTableSchema, file_path: str, load_id: str, restore: bool = False
    ) -> LoadJob:
        """Return our job for a published file and dlt's own for dlt's own tables."""
        if FILE_HINT in table:
            return LandFileJob(file_path)
        return super().create_load_job(table, file_path, load_id, restore)


class Lake(filesystem):
    """dlt's filesystem destination with ``LakeClient``."""

    @property
    def client_class(self) -> type[LakeClient]:
        """The client that dlt makes for each load."""
        return LakeClient


def lake(bucket_url: str) -> Lake:
    """The lake at ``bucket_url``: ``raw/<dataset>/<version>.<format>``."""
    # the names of our tables hold none of the layout's separators
    return Lake(bucket_url=bucket_url, layout=LAYOUT, warn_unsafe_layout_separators=False)
