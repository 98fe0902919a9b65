"""The figures of the pages, as ``figures.toml`` declares them, and their queries."""

import tomllib
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True)
class Figure:
    """One figure: its query, its words and its picture.

    ``nothing`` says why it may have no rows. ``chart`` has the ``kind``, which is a function of
    ``charts``, and what that function is given.
    """

    name: str
    title: str
    caption: str
    query: str
    nothing: str = ""
    chart: dict[str, Any] = field(default_factory=dict)


@cache
def figures() -> dict[str, tuple[Figure, ...]]:
    """The figures of each page."""
    declared = tomllib.loads(files(__package__).joinpath("figures.toml").read_text("utf-8"))
    return {
        page: tuple(Figure(name=name, **{"query": name, **said}) for name, said in own.items())
        for page, own in declared.items()
    }


def query(name: str) -> str:
    """A query as it is run, shown and copied."""
    return files(__package__).joinpath("queries", f"{name}.sql").read_text("utf-8").strip()
