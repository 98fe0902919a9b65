"""The dataset of pages that each dataset of documents has: its name and its columns."""

from datetime import date

PAGES = date.min  # the only era
_SUFFIX = "_pages"

# name, read type, types in the file
PAGES_COLUMNS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("document", "text", ("string",)),
    ("document_id", "text", ("string",)),
    ("media_type", "text", ("string",)),
    ("extractor", "text", ("string",)),
    ("page", "bigint", ("int32",)),
    ("text", "text", ("string", "null")),
    ("reason", "text", ("string", "null")),
)


def pages_of(documents: str) -> str:
    """The dataset of the pages of a dataset of documents."""
    return documents + _SUFFIX


def documents_of(dataset: str) -> str:
    """The dataset of documents that a dataset belongs to: itself, or the one of its pages."""
    return dataset.removesuffix(_SUFFIX)
