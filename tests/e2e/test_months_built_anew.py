"""Named months are built anew although they are not stale, and readers always see whole months."""

import duckdb
import pytest

from tests.e2e.conftest import FACTS, Place
from tests.support.processes import Started, wait_until

pytestmark = pytest.mark.slow

ANEW = ("--dataset", "green", "--from", "2023-02", "--to", "2023-02", "--full-refresh")
BUILT = (
    "select table_name, service, source_month, built_at from intermediate.month_builds"
    " where source_month is not null"
)
NAMED = "service = 'green' and source_month = date '2023-02-01'"


def built_since(place: Place, before: set[tuple[object, ...]]) -> list[tuple[str, str]]:
    """The services and months that were built in any table since then."""
    found = {(row[1], f"{row[2]:%Y-%m}") for row in set(place.query(BUILT)) - before}
    return sorted(found)


def test_only_the_named_months_are_built_anew(copy: Place) -> None:
    copy.medallion("transform", "--quiet")
    with duckdb.connect(copy.warehouse) as connection:  # as a bit of a disk may
        connection.execute(f"delete from {FACTS} where {NAMED} and trip_id % 2 = 0")
    before, marts = set(copy.query(BUILT)), copy.fingerprint()
    copy.medallion("audit", expect=1)
    copy.medallion("transform", "--from", "2023-02", expect=2)
    assert "--full-refresh" in copy.last_stderr
    copy.medallion("transform", "--quiet", *ANEW)
    copy.medallion("audit")
    assert built_since(copy, before) == [("green", "2023-02")]
    before = set(copy.query(BUILT))
    assert copy.medallion_json("run", "--quiet", *ANEW)["built"] is True
    assert built_since(copy, before) == [("green", "2023-02")]
    after = copy.fingerprint()
    assert {mart for mart in marts if marts[mart] != after[mart]} == {FACTS}
    assert copy.medallion_json("transform")["built"] is False

    # killed in the middle, no month is gone, and the next transform goes on
    process = copy.start("orchestration.cli", "transform", *ANEW)
    assert isinstance(process, Started)
    wait_until(lambda: "fct_trips" in process.told() or process.poll() is not None, pause=0.01)
    process.kill()
    process.wait()
    assert copy.fingerprint() == after
    assert copy.query(
        "select count(*) > 0 from intermediate.month_builds where build_key = ''"
    ) == [(True,)]
    assert copy.medallion_json("transform")["built"] is True
    assert copy.fingerprint() == after
