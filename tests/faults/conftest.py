"""Fixtures of the fault tests: each test records its results; a table of them ends the run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ingestion.locks import turn_with_file
from ingestion.progress import Quiet
from tests.faults.jobs import keep_night
from tests.faults.table import BAD, Tried, table
from tests.support.stores import Store

_PROPERTY = "fault"
# A process takes whole files: of those that take longest, none is to be left for the end.
LONGEST_FIRST = (
    "test_spark.py",
    "test_flow_kills.py",
    "test_kills_in_place.py",
    "test_postgres_from_outside.py",
    "test_hostile_values.py",
    "test_hostile_environment.py",
    "test_machine.py",
    "test_unreadable_versions.py",
    "test_kills_postgres.py",
    "test_bitrot.py",
)

Tally = Callable[..., None]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files of this folder in the order in which they are begun."""
    order = {name: place for place, name in enumerate(LONGEST_FIRST)}
    places = [n for n, item in enumerate(items) if item.path.parent == Path(__file__).parent]
    ours = sorted((items[n] for n in places), key=lambda i: order.get(i.path.name, len(order)))
    for place, item in zip(places, ours, strict=True):
        items[place] = item


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Tally:
    """A function that records the result of a fault: rows lost, doubled or wrong, or silence.

    ``tally("the server lies about its length", times=3, seconds=0.4)``. The test fails if one of
    these counts is not zero; the table shows it in any case.
    """

    def record(fault: str, **counts: Any) -> None:
        tried = Tried(fault, **counts)
        request.node.user_properties.append((_PROPERTY, tried.values()))
        bad = {name: getattr(tried, name) for name in BAD if getattr(tried, name)}
        assert not bad, f"{fault}: {bad}"

    return record


@pytest.fixture(scope="session")
def plain_night(
    tmp_path_factory: pytest.TempPathFactory,
    worker_id: str,
    store_servers: Callable[[str], Store],
) -> Path:
    """The folder of a night on DuckDB, for ``copy_of``. Tests must not change it."""
    folder = tmp_path_factory.getbasetemp()
    if worker_id != "master":  # one for all workers; the first that needs it makes it
        folder = folder.parent
    made = folder / "night.made"
    with turn_with_file(folder / "night.lock", "the night", Quiet()):
        if not made.exists():
            keep_night(folder / "night", store_servers("file"))
            made.touch()
    return folder / "night"


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the table that docs/reliability.md shows."""
    reports = [r for key in ("passed", "failed") for r in terminalreporter.stats.get(key, ())]
    tried = [
        Tried(*values)
        for report in reports
        if report.when == "call"
        for name, values in report.user_properties
        if name == _PROPERTY
    ]
    if tried:
        terminalreporter.section("faults")
        terminalreporter.write_line(table(tried))
