"""What the tests of landing and loading share."""

from datetime import date
from pathlib import Path

import pytest

from ingestion.settings import Settings
from ingestion.warehouse import LoadReport
from tests.support.trips import publish, trips
from tests.support.warehouses import landed_and_loaded

JANUARY, FEBRUARY = date(2024, 1, 1), date(2024, 2, 1)


@pytest.fixture
def loaded(published: Path, settings: Settings) -> LoadReport:
    """Two green months, landed and loaded."""
    for month in (JANUARY, FEBRUARY):
        publish(published, "green", month, trips("green", month))
    return landed_and_loaded(settings)
