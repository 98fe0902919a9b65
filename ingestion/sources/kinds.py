"""The code of each kind of source."""

import importlib

from ingestion.sources.base import Kind, Publisher


def kind_of(publisher: Publisher) -> Kind:
    """The code that lists and fetches the items of a source.

    A folder in the place of a source has its items as files, whatever the kind of the source.
    """
    name = "files" if publisher.folder is not None else publisher.source.kind
    kind: Kind = importlib.import_module(f"ingestion.sources.{name}.kind")
    return kind
