"""The code of each kind of source."""

import importlib

from ingestion.sources.base import Kind, Publisher


def kind_of(publisher: Publisher) -> Kind:
    """The code that lists and fetches the items of a source.

    A folder in the place of an API or a database has the items as files.
    """
    name = publisher.source.kind
    if publisher.folder is not None and name != "documents":
        name = "files"
    kind: Kind = importlib.import_module(f"ingestion.sources.{name}.kind")
    return kind
