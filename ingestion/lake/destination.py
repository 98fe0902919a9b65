"""The lake as a dlt destination: a job that copies bytes unchanged and proves them.

dlt's own filesystem destination writes what it has normalized, and notes for a pipeline that goes
on elsewhere; here the catalog says what the lake holds, and nothing stands beside what was
published.
"""

from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import dlt
from dlt.common.destination import Destination
from dlt.common.destination.exceptions import (
    DestinationTerminalException,
    DestinationTransientException,
)

from ingestion.dlt_runner import FILE_HINT, MANIFEST_FORMAT, referenced_url
from ingestion.errors import CorruptedError, MedallionError
from ingestion.lake.storage.checksums import Digests
from ingestion.lake.storage.store import Store


def lake_destination(
    store: Store, found: Mapping[str, Future[Digests]], errors: list[MedallionError]
) -> Destination[Any, Any]:
    """Return the lake, opened: its SDK has found the credentials, which dlt need not know.

    ``found`` are the digests of the files by their sha256, being taken. The errors of files that
    could not be stored are added to ``errors``: dlt keeps the text of an error only.
    """

    # with a batch size of 0, dlt passes the path of the job's file, and one job is one file
    @dlt.destination(name="lake", batch_size=0)
    def lake(manifest: Any, table: Any) -> None:
        """Put the file under its final name only when it is whole, and proved to be there."""
        landed = table[FILE_HINT]
        source = Path(referenced_url(manifest))
        try:
            store.put(source, landed["lake_path"], landed["file_id"], found.get(landed["file_id"]))
        except CorruptedError as exc:
            raise DestinationTransientException(str(exc)) from exc
        except MedallionError as exc:  # the store's SDK has tried again whatever may pass
            errors.append(exc)
            raise DestinationTerminalException(str(exc)) from exc

    # dlt takes capabilities by name here, which its types do not say
    return lake(supported_loader_file_formats=[MANIFEST_FORMAT])  # type: ignore[call-arg]
