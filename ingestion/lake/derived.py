"""Rows that are read out of documents in the lake, as files that land like others.

The reader of a derived dataset is a module that defines ``version()``, which names what reads, so
that another name means other rows; and ``write_rows()``, which writes the Parquet file.
"""

import importlib
from pathlib import Path
from typing import Protocol

from ingestion.errors import FetchError, UntrustedFileError
from ingestion.lake.catalog import DERIVED_FROM, Catalog, FileVersion
from ingestion.lake.storage.store import Store
from ingestion.sources import registry
from ingestion.sources.base import Dataset, Fetched, PublishedFile
from ingestion.sources.spool import download_at, part_path


class Reader(Protocol):
    """What the module of a derived dataset's reader defines."""

    def version(self) -> str:
        """What reads the rows: another name means that it may read others."""

    def write_rows(self, document: Path, name: str, document_id: str, target: Path) -> bool:
        """Write the rows of a document, which is called ``name``, as Parquet.

        Returns false where the next run should try again, as after a reader that took too long.
        Raises ``UntrustedFileError`` where the document has none, and ``FetchError`` where they
        cannot be read for a reason outside of it.
        """


def derived_files(catalog: Catalog) -> dict[PublishedFile, FileVersion]:
    """The derived files of every current document, as if somebody published them, with it.

    Their etag is made of the document's version and of what reads it, so that they count as
    changed when either has changed.
    """
    derived = [d for d in registry.datasets().values() if d.derived]
    return {
        PublishedFile(
            dataset.name,
            None,
            f"{DERIVED_FROM}{document.lake_path}",
            f"{document.file_id} {_reader(dataset).version()}",
            *(None, None),
            item=document.item,
        ): document
        for document in catalog.current()
        if not document.columns
        for dataset in derived
        if dataset.derived and dataset.derived.dataset == document.dataset
    }


def make_derived(store: Store, document: FileVersion, file: PublishedFile, spool: Path) -> Fetched:
    """Read the rows of a derived file out of its document in the lake.

    Raises ``FetchError`` where the lake does not hold the document's bytes any more.
    """
    target = part_path(file, spool)
    local = target.with_suffix(".document")
    reader = _reader(registry.datasets()[file.dataset])
    try:
        if store.fetch(document.lake_path, local) != document.file_id:
            raise FetchError(f"{document.name} is damaged in the lake; run medallion verify.")
        final = reader.write_rows(local, document.item or "", document.file_id, target)
    except UntrustedFileError as exc:  # it was trusted when it landed, by another reader
        raise FetchError(f"{document.name} cannot be read any more: {exc}.") from exc
    except FileNotFoundError:
        raise FetchError(f"{document.name} is gone from the lake; run medallion verify.") from None
    finally:
        local.unlink(missing_ok=True)
    # without the etag it counts as changed
    return download_at(target, file.etag if final else None)


def _reader(dataset: Dataset) -> Reader:
    assert dataset.derived
    reader: Reader = importlib.import_module(dataset.derived.reader)
    return reader
