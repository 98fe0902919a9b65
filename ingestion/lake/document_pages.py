"""The pages of the documents in the lake: their text, as files that land like others."""

from pathlib import Path

from ingestion.errors import FetchError
from ingestion.lake.catalog import Catalog, Landing
from ingestion.lake.storage.store import Store
from ingestion.sources.base import Fetched, PublishedFile
from ingestion.sources.documents.pages import pages_of
from ingestion.sources.spool import download_at, part_path


def pages_to_make(catalog: Catalog) -> dict[PublishedFile, Landing]:
    """The pages of every current document, as if somebody published them, with the document.

    Their etag is made of the document's version and of what reads its text, so that they count as
    changed when either has changed.
    """
    from ingestion.documents.extract import extractor

    return {
        PublishedFile(
            pages_of(version.dataset),
            None,
            f"lake:{version.lake_path}",
            f"{version.file_id} {extractor()}",
            *(None, None),
            item=version.item,
        ): version
        for version in catalog.current()
        if not version.columns
    }


def make_pages(store: Store, version: Landing, file: PublishedFile, spool: Path) -> Fetched:
    """Read the text of a document in the lake into a Parquet file, one row a page.

    Raises ``FetchError`` where the lake does not hold the document's bytes any more.
    """
    from ingestion.documents.extract import extract
    from ingestion.documents.pages_file import write_pages

    target = part_path(file, spool)
    local = target.with_suffix(".document")
    try:
        if store.fetch(version.lake_path, local) != version.file_id:
            raise FetchError(f"{version.name} is damaged in the lake; run medallion verify.")
        extracted = extract(local, version.item or "")
    except FileNotFoundError:
        raise FetchError(f"{version.name} is gone from the lake; run medallion verify.") from None
    finally:
        local.unlink(missing_ok=True)
    write_pages(extracted, version.item or "", version.file_id, target)
    return download_at(target, file.etag)
