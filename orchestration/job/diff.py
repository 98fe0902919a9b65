"""Compare two environments or publications, by the keys that the dbt project declares."""

from collections.abc import Iterator
from typing import Any

from ingestion.errors import UsageError
from ingestion.publications import diff as publications_diff
from ingestion.publications.diff import Diff, Side
from ingestion.publications.read import current, find, kept
from ingestion.publications.storage import open_publications
from ingestion.setting_values import env_name_error
from ingestion.settings import Settings
from orchestration.job.environments import check_known
from orchestration.job.transform import declared_models


def diff(main: Settings, after: str | None = None, before: str | None = None) -> Diff:
    """The differences from ``before`` to ``after``; each is an environment or a publication.

    By default ``before`` is what readers see now. If neither is given, the publication that readers
    see is compared with the previous one. Raises ``UsageError`` if a side does not exist.
    """
    if after is None:
        seen = kept(main)
        if len(seen) < 2:
            raise UsageError("There is only one publication: name an environment to compare.")
        url = open_publications(main).url
        sides = Side(seen[-2], url), Side(seen[-1], url)
    else:
        sides = _side(main, before), _side(main, after)
    return publications_diff.diff(main, *sides, keys())


def _side(main: Settings, name: str | None) -> Side:
    is_environment = name is not None and env_name_error(name) is None
    settings = check_known(main, name) if name and is_environment else main
    url = open_publications(settings).url
    if name and not is_environment:
        return Side(find(settings, name), url)
    found = current(settings)
    if found is None:
        publishes = settings.run_command.replace("run", "publish", 1)
        raise UsageError(
            f"Nothing was published yet at {url}; {publishes} publishes what is built."
        )
    return Side(found, url)


def keys() -> dict[str, tuple[str, ...]]:
    """The key of each model that has one: the columns of its test ``key`` or ``unique``."""
    found: dict[str, tuple[str, ...]] = {}
    for model in declared_models():
        for key in _unique(model):
            found.setdefault(model["name"], key)
    return found


def _unique(model: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for test in model.get("data_tests") or ():
        if isinstance(test, dict) and "key" in test:
            yield tuple(test["key"]["arguments"]["columns"])
    for column in model.get("columns") or ():
        if "unique" in _names(column):
            yield (column["name"],)


def _names(column: dict[str, Any]) -> set[str]:
    tests = column.get("data_tests") or ()
    return {name for test in tests for name in (test if isinstance(test, dict) else [test])}
