"""The Parquet file of a document's pages."""

from pathlib import Path

from ingestion.documents.extract import Extracted, extract, extractor


def version() -> str:
    """What reads the text."""
    return extractor()


def write_rows(document: Path, name: str, document_id: str, target: Path) -> bool:
    """Write the pages of a document; returns false where another try may find more."""
    extracted = extract(document, name)
    write_pages(extracted, name, document_id, target)
    return not extracted.may_pass


def write_pages(extracted: Extracted, document: str, document_id: str, target: Path) -> None:
    """Write one row for each page; for a document without text one row, page 0, with the reason.

    The same text gives the same bytes.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    pages: list[tuple[int, str | None]] = [*enumerate(extracted.pages, 1)] or [(0, None)]
    same = {
        "document": document,
        "document_id": document_id,
        "media_type": extracted.media_type,
        "extractor": extractor(),
        "reason": extracted.reason,
    }
    columns = {name: pa.array([value] * len(pages), pa.string()) for name, value in same.items()}
    columns["page"] = pa.array([number for number, _ in pages], pa.int32())
    columns["text"] = pa.array([text for _, text in pages], pa.string())
    order = ("document", "document_id", "media_type", "extractor", "page", "text", "reason")
    pq.write_table(pa.table({name: columns[name] for name in order}), target, compression="zstd")
