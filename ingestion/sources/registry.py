"""The list of all sources; all other code reads this one.

A source is a folder with a ``source.toml``, in this package or in a folder that
``MEDALLION_SOURCES`` names. One in this package may have a ``source.py`` that defines ``SOURCE`` in
its place. A new source changes nothing else.
"""

import importlib
import os
import pkgutil
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from ingestion.errors import UsageError
from ingestion.sources.base import Dataset, Source

# Read here and not in the settings: these ask the registry which addresses can be set.
VARIABLE = "MEDALLION_SOURCES"
FILE_NAME = "source.toml"


def sources() -> Mapping[str, Source]:
    """Every source by name; raises ``UsageError`` where a declaration is wrong."""
    return _sources(os.environ.get(VARIABLE, ""))


def datasets() -> Mapping[str, Dataset]:
    """Every dataset of every source, by name."""
    return _datasets(os.environ.get(VARIABLE, ""))


def monthly_datasets() -> tuple[Dataset, ...]:
    """The datasets with one file for each month."""
    return tuple(d for d in datasets().values() if d.monthly)


def source_of(dataset: str) -> Source:
    """The source of a dataset."""
    return sources()[datasets()[dataset].source]


def schemas() -> tuple[str, ...]:
    """The schemas of the read views: one for each source, with the source's name."""
    return tuple(sources())


def names_for_help() -> tuple[list[str], list[str]]:
    """The names of all datasets, and of the usual ones of enabled sources, without any check.

    Checking a declaration needs imports that take longer than help may.
    """
    names: list[str] = []
    usual: list[str] = []
    for source in _python_sources():
        names += [dataset.name for dataset in source.datasets if not dataset.derived]
        usual += source.usual if source.enabled else ()
    for path in (*_shipped_files(), *_declared_files(os.environ.get(VARIABLE, ""))):
        declared = tomllib.loads(path.read_text(encoding="utf-8"))
        names += declared["datasets"]
        if declared.get("enabled"):
            usual += [n for n, d in declared["datasets"].items() if "first_month" in d]
    return names, usual


def address_variables() -> dict[str, str]:
    """The environment variables that set addresses, each with its default address.

    The default is empty where it depends on another address.
    """
    variables = {source.url_variable: source.url for source in sources().values()}
    return variables | {d.url_variable: "" for d in datasets().values() if d.url_variable}


@cache
def _sources(folders: str) -> Mapping[str, Source]:
    found: dict[str, Source] = {}
    declared = _read([*_shipped_files(), *_declared_files(folders)])
    for source in (*_python_sources(), *declared):
        if source.name in found:
            raise UsageError(f"There are two sources called {source.name}: rename one's folder.")
        found[source.name] = source
    return found


@cache
def _datasets(folders: str) -> Mapping[str, Dataset]:
    found: dict[str, Dataset] = {}
    for dataset in (d for source in _sources(folders).values() for d in source.datasets):
        if dataset.name in found:
            other = found[dataset.name].source
            raise UsageError(
                f"The sources {other} and {dataset.source} both have a dataset {dataset.name}:"
                " rename one of them."
            )
        found[dataset.name] = dataset
    return found


def _python_sources() -> Iterator[Source]:
    package = importlib.import_module("ingestion.sources")
    for folder in pkgutil.iter_modules(package.__path__, "ingestion.sources."):
        name = f"{folder.name}.source"
        if folder.ispkg and find_spec(name):
            yield importlib.import_module(name).SOURCE


def _shipped_files() -> list[Path]:
    return sorted(Path(__file__).parent.glob(f"*/{FILE_NAME}"))


def _declared_files(folders: str) -> Iterator[Path]:
    for folder in (Path(f).expanduser() for f in folders.split(os.pathsep) if f):
        if not folder.is_dir():
            raise UsageError(f"{VARIABLE}: there is no folder {folder}.")
        files = sorted([*folder.glob(FILE_NAME), *folder.glob(f"*/{FILE_NAME}")])
        if not files:
            raise UsageError(
                f"{VARIABLE}: no folder in {folder} has a {FILE_NAME}, which declares a source."
            )
        yield from files


def _read(files: Iterable[Path]) -> Iterator[Source]:
    from ingestion.sources.declared import read_source  # pydantic is slow to import

    yield from map(read_source, files)
