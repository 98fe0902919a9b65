"""The figures of the pages, as ``figures.toml`` declares them, and their queries."""

import tomllib
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True)
class Figure:
    """One figure: its query, its words and its picture.

    ``nothing`` is shown in place of a figure without rows, and says why. ``chart`` has the
    ``kind``, which is the name of a function in ``charts``, and the arguments of that function.
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
    """The SQL of a query, as it is run and as the pages show it."""
    return files(__package__).joinpath("queries", f"{name}.sql").read_text("utf-8").strip()
