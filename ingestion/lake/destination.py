"""The lake as a dlt destination: a job that copies bytes unchanged and proves them.

dlt's own filesystem destination writes what it has normalized, and notes for a pipeline that goes
on elsewhere; here the catalog says what the lake holds, and nothing stands beside what was
published.
"""

from collections.abc import Iterable
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Annotated

from dlt.common.configuration import NotResolved, configspec
from dlt.common.destination import Destination, DestinationCapabilitiesContext
from dlt.common.destination.client import (
    DestinationClientConfiguration,
    JobClientBase,
    LoadJob,
    RunnableLoadJob,
)
from dlt.common.destination.exceptions import (
    DestinationTerminalException,
    DestinationTransientException,
)
from dlt.common.destination.typing import PreparedTableSchema
from dlt.common.schema import Schema

from ingestion.dlt_runner import FILE_HINT, referenced_url
from ingestion.errors import CorruptedError, MedallionError
from ingestion.lake.storage.checksums import Digests
from ingestion.lake.storage.store import Store


@configspec
class LakeConfiguration(DestinationClientConfiguration):
    """The lake, opened: its SDK has found the credentials, which dlt need not know.

    ``found`` are the digests of the files by their sha256, being taken. What a file could not be
    stored for is added to ``faults``: dlt keeps the text of it only.
    """

    destination_type: Annotated[str, NotResolved()] = "lake"
    store: Annotated[Store | None, NotResolved()] = None
    found: Annotated[dict[str, Future[Digests]] | None, NotResolved()] = None
    faults: Annotated[list[MedallionError] | None, NotResolved()] = None


class LandFileJob(RunnableLoadJob):
    """Copy the referenced file into the lake, bytes unchanged, and prove it by its sha256."""

    _job_client: "LakeClient"

    def run(self) -> None:
        """Put the file under its final name only when it is whole, and proved to be there."""
        client = self._job_client
        # dlt keeps hints of ours in a table's schema, whose type knows only its own
        landed = self._load_table[FILE_HINT]  # type: ignore[literal-required]
        source = Path(referenced_url(self._file_path))
        try:
            found = client.found.get(landed["file_id"])
            client.store.put(source, landed["lake_path"], landed["file_id"], found)
        except CorruptedError as exc:
            raise DestinationTransientException(str(exc)) from exc
        except MedallionError as exc:  # the store's SDK has tried again whatever may pass
            client.faults.append(exc)
            raise DestinationTerminalException(str(exc)) from exc


class LakeClient(JobClientBase):
    """Puts files into an open lake, which needs no preparing."""

    def __init__(
        self,
        schema: Schema,
        config: LakeConfiguration,
        capabilities: DestinationCapabilitiesContext,
    ):
        super().__init__(schema, config, capabilities)
        assert config.store is not None
        assert config.found is not None
        assert config.faults is not None
        self.store, self.found, self.faults = config.store, config.found, config.faults

    # dlt names what it passes, so what is not needed must be taken by its name
    def create_load_job(
        self,
        table: PreparedTableSchema,  # noqa: ARG002
        file_path: str,
        load_id: str,  # noqa: ARG002
        restore: bool = False,  # noqa: ARG002
    ) -> LoadJob:
        """Return the job of a published file."""
        return LandFileJob(file_path)

    def is_storage_initialized(self) -> bool:
        """Say that it is, so that dlt neither makes nor asks for notes of its own there."""
        return True

    def initialize_storage(self, truncate_tables: Iterable[str] | None = None) -> None:
        """Do nothing."""

    def complete_load(self, load_id: str) -> None:
        """Do nothing: the catalog says what has landed."""

    def drop_storage(self) -> None:
        """Refuse: what was published once may not be had again."""
        raise NotImplementedError("A lake is never dropped.")

    def __enter__(self) -> "LakeClient":
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        pass


class Lake(Destination[LakeConfiguration, LakeClient]):
    """A lake that ``LakeClient`` fills."""

    def _raw_capabilities(self) -> DestinationCapabilitiesContext:
        # the format of our manifests
        return DestinationCapabilitiesContext.generic_capabilities("csv")

    @property
    def spec(self) -> type[LakeConfiguration]:
        """What dlt resolves before each load."""
        return LakeConfiguration

    @property
    def client_class(self) -> type[LakeClient]:
        """The client that dlt makes for each load."""
        return LakeClient
