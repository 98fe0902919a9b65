"""The whole job with its lake in a bucket, as people run it."""

from collections.abc import Callable
from datetime import date

import pytest

from tests.e2e.conftest import Place
from tests.support.stores import NOWHERE, Store
from tests.support.trips import ZONES, publish, trips

pytestmark = pytest.mark.slow

JANUARY = date(2024, 1, 1)


@pytest.fixture
def bucket(place: Place, store_servers: Callable[[str], Store]) -> Place:
    """A place whose lake is in S3."""
    store = store_servers("s3")
    place.env |= NOWHERE | store.environment | {"MEDALLION_LAKE_URL": store.new_lake()}
    return place


def test_every_command_works_on_a_lake_in_a_bucket(bucket: Place) -> None:
    publish(bucket.published, "green", JANUARY, trips("green", JANUARY))
    publish(bucket.published, "taxi_zone_lookup", None, ZONES)
    assert "can be written, 0 versions" in bucket.medallion("doctor")
    bucket.medallion("run")
    assert "landed" in bucket.medallion("history", "green", "2024-01")
    assert "2 of 2 versions are intact" in bucket.medallion("verify")
    assert "green" in bucket.medallion("status")
    assert not bucket.lake.exists()
