"""The lake as a dlt destination: a job that copies bytes unchanged and proves them."""

from pathlib import Path
from typing import Any

from dlt.common.configuration import configspec, resolve_type
from dlt.common.configuration.specs import CredentialsConfiguration
from dlt.common.destination import DestinationCapabilitiesContext
from dlt.common.destination.client import LoadJob
from dlt.common.destination.exceptions import (
    DestinationTerminalException,
    DestinationTransientException,
)
from dlt.common.destination.typing import PreparedTableSchema
from dlt.common.schema import Schema
from dlt.destinations import filesystem
from dlt.destinations.impl.filesystem.configuration import FilesystemDestinationClientConfiguration
from dlt.destinations.impl.filesystem.filesystem import FilesystemClient, FilesystemLoadJob

from ingestion.destinations.references import FILE_HINT, referenced_url
from ingestion.errors import CorruptedError, MedallionError
from ingestion.settings import Settings
from ingestion.stores.store import Store, file_system_options

LAYOUT = "{schema_name}/{table_name}.{ext}"


@configspec
class SdkCredentials(CredentialsConfiguration):
    """None that dlt knows of: the SDK of each store finds its own."""

    def to_s3fs_credentials(self) -> dict[str, Any]:
        """Nothing to add to how ``Store`` opens the file system."""
        return {}

    to_gcs_credentials = to_adlfs_credentials = to_s3fs_credentials


@configspec
class LakeConfiguration(FilesystemDestinationClientConfiguration):
    """dlt's, with how objects are to be kept."""

    credentials: SdkCredentials | None = None  # type: ignore[assignment]
    encryption: str = ""
    storage_class: str = ""

    @resolve_type("credentials")
    def resolve_credentials_type(self) -> type[CredentialsConfiguration]:
        """Leave credentials alone, whatever the address."""
        return SdkCredentials


class LandFileJob(FilesystemLoadJob):
    """Copy the referenced file into the lake, bytes unchanged, and prove it by its sha256."""

    _job_client: "LakeClient"

    def run(self) -> None:
        """Put the file under its final name only when it is whole, and proved to be there."""
        store = self._job_client.store
        name = self.make_remote_path()[len(store.root) + 1 :]
        file_id = self._load_table[FILE_HINT]["file_id"]  # type: ignore[literal-required]
        try:
            store.put(Path(referenced_url(self._file_path)), name, file_id)
        except CorruptedError as exc:
            raise DestinationTransientException(str(exc)) from exc
        except MedallionError as exc:  # the store's SDK has tried again whatever may pass
            raise DestinationTerminalException(str(exc)) from exc

    def make_remote_file_path(self, file_name: str) -> str:
        """Name the object after the file it holds, not after the job's format."""
        file_format = self._load_table[FILE_HINT]["file_format"]  # type: ignore[literal-required]
        return super().make_remote_file_path(f"{file_name.rpartition('.')[0]}.{file_format}")


class LakeClient(FilesystemClient):
    """dlt's filesystem client, with our job for published files."""

    def __init__(
        self,
        schema: Schema,
        config: LakeConfiguration,
        capabilities: DestinationCapabilitiesContext,
    ):
        super().__init__(schema, config, capabilities)
        self.store = Store(config.bucket_url, config.encryption, config.storage_class)
        # dlt's own have lost what follows a # or a ?, and try again without end
        self.fs_client, self.bucket_path = self.store.fs, self.store.root

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
    def spec(self) -> type[LakeConfiguration]:
        """What dlt resolves before each load."""
        return LakeConfiguration

    @property
    def client_class(self) -> type[LakeClient]:
        """The client that dlt makes for each load."""
        return LakeClient


def lake(settings: Settings) -> Lake:
    """The lake that is set: ``raw/<dataset>/<version>.<format>``."""
    scheme = settings.lake_url.partition("://")[0]
    return Lake(
        bucket_url=settings.lake_url,
        credentials=SdkCredentials(),
        kwargs=file_system_options(scheme, settings.lake_encryption),
        encryption=settings.lake_encryption,
        storage_class=settings.lake_storage_class,
        layout=LAYOUT,
        # the names of our tables hold none of the layout's separators
        warn_unsafe_layout_separators=False,
    )
