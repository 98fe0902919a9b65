"""A lake and warehouses that an earlier release made are read, built on and audited by this one."""

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import date

import duckdb
import pytest

from tests.e2e.conftest import Place
from tests.support import postgres
from tests.support.releases import BEFORE_FORMATS, unpack
from tests.support.trips import ZONES, publish, trips

pytestmark = pytest.mark.slow

JANUARY, FEBRUARY, MARCH = (date(2024, month, 1) for month in (1, 2, 3))


class PlaceBefore(Place):
    """A place for commands of an earlier release, which refuses settings that it does not know."""

    def environment(self) -> dict[str, str]:
        later = {"MEDALLION_PUBLISH_URL", "MEDALLION_SITE_DIR"}
        return {k: v for k, v in super().environment().items() if k not in later}


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A lake that an earlier release filled, and a warehouse on each engine that it built."""
    project = unpack(BEFORE_FORMATS, tmp_path_factory.mktemp("earlier release"))
    place = PlaceBefore(tmp_path_factory.mktemp("place"))
    publish(place.published, "taxi_zone_lookup", None, ZONES)
    for dataset in ("green", "fhvhv"):
        for month in (JANUARY, FEBRUARY):
            publish(place.published, dataset, month, trips(dataset, month))
    with ExitStack() as stack:
        server = stack.enter_context(postgres.server(tmp_path_factory.mktemp("postgres")))
        place.env |= stack.enter_context(postgres.database(server))
        for target in TARGETS:
            place.run("orchestration.cli", "run", "--quiet", "--target", target, cwd=project)
        yield Place(place.folder, place.env)


TARGETS = ("duckdb", "postgres")


def facts(place: Place, target: str) -> list[str]:
    """How many facts there are, and digests of what they hold."""
    sql = "select count(*), sum(trip_id), sum(cast(total_usd as decimal(18, 2)))"
    done = place.medallion(
        *("query", "--target", target, "--format", "csv", f"{sql} from marts.fct_trips")
    )
    return done.splitlines()[1:]


def test_what_an_earlier_release_made_is_read_and_built_on(earlier: Place) -> None:
    before = {}
    for target in TARGETS:
        before[target] = facts(earlier, target)
        assert earlier.medallion_json("audit", "--target", target)["unbalanced"] == []
        files = earlier.medallion_json("status", "--target", target)["files"]
        assert [f for f in files if f["versions"] and not f["loaded"]] == []
        assert earlier.medallion_json("run", "--quiet", "--target", target)["faults"] == []
        assert facts(earlier, target) == before[target]
    publish(earlier.published, "green", MARCH, trips("green", MARCH))
    publish(earlier.published, "green", FEBRUARY, trips("green", FEBRUARY, rows=7))
    for target in TARGETS:
        report = earlier.medallion_json("run", "--quiet", "--target", target)
        assert report["faults"] == []
        assert earlier.medallion_json("audit", "--target", target)["unbalanced"] == []
        assert facts(earlier, target) != before[target]
    assert facts(earlier, "duckdb") == facts(earlier, "postgres")
    assert " are intact" in earlier.medallion("verify", "--quiet")


def test_records_of_both_releases_stand_side_by_side(earlier: Place) -> None:
    records = [path.read_text() for path in (earlier.lake / "catalog").rglob("*.json")]
    assert {'"format": 1' in record for record in records} == {True, False}


def test_a_warehouse_of_a_later_release_is_refused(earlier: Place) -> None:
    later = "comment on table raw.files is 'medallion format 2'"
    with duckdb.connect(earlier.warehouse) as connection:
        connection.execute(later)
    postgres_connection = postgres.connect(earlier.env)
    with postgres_connection.cursor() as cursor:
        cursor.execute(later)
    postgres_connection.close()
    for target in TARGETS:
        for verb in (["run", "--quiet"], ["status"], ["query", "select 1"]):
            earlier.medallion(*verb, "--target", target, expect=1)
            assert "was written by a later release of Medallion" in earlier.last_stderr
