"""What the tests of landing and loading share."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from ingestion.load import LoadReport
from ingestion.settings import Settings
from tests.conftest import MakeSettings
from tests.support.debian_postgres import DebianPostgres, debian_postgres
from tests.support.trips import publish, trips
from tests.support.warehouses import landed_and_loaded

JANUARY, FEBRUARY = date(2024, 1, 1), date(2024, 2, 1)


@pytest.fixture
def settings(published: Path, make_settings: MakeSettings) -> Settings:
    """Settings for the test's own folder, in which nothing is published yet."""
    return make_settings()


@pytest.fixture
def month(published: Path) -> Path:
    """The file of green 2024-01, published."""
    return publish(published, "green", JANUARY, trips("green", JANUARY))


@pytest.fixture
def loaded(published: Path, settings: Settings) -> LoadReport:
    """Two green months, landed and loaded."""
    for month in (JANUARY, FEBRUARY):
        publish(published, "green", month, trips("green", month))
    return landed_and_loaded(settings)


@pytest.fixture(scope="module")
def server() -> Iterator[DebianPostgres]:
    """A PostgreSQL that asks for passwords, for the tests of one file."""
    with debian_postgres() as running:
        yield running


@pytest.fixture
def variables(server: DebianPostgres) -> Iterator[dict[str, str]]:
    """libpq's variables of a database of the test's own."""
    with server.database() as found:
        yield found
