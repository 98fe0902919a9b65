"""Kill the whole job on a lake read in place, run it again: the marts are as if nobody had."""

from collections.abc import Callable, Iterator

import pytest

from tests.faults.conftest import Tally
from tests.faults.jobs import Night
from tests.faults.many_kills import killed_anywhere, killed_at_first, night_on
from tests.support.stores import Store

pytestmark = pytest.mark.slow

KIND = "DuckDB in place"


@pytest.fixture(scope="module", params=["file", "s3"])
def lake(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def night(
    lake: str,
    at_length: bool,
    tmp_path_factory: pytest.TempPathFactory,
    store_servers: Callable[[str], Store],
) -> Iterator[Night]:
    with night_on(KIND, lake, at_length, tmp_path_factory, store_servers) as made:
        yield made


def test_a_killed_job_is_done_by_the_next(
    night: Night, lake: str, at_length: bool, tally: Tally
) -> None:
    killed_anywhere(night, f"{KIND} on {lake}", at_length, tally)


def test_a_first_run_that_was_killed_is_done_by_the_next(
    night: Night, lake: str, at_length: bool, tally: Tally
) -> None:
    killed_at_first(night, f"{KIND} on {lake}", at_length, tally)
