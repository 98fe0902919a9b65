"""The whole job on a lake that is read in place is killed anywhere."""

import pytest

from tests.faults.many_kills import Kills

pytestmark = pytest.mark.slow


class TestInPlace(Kills):
    kind = "DuckDB in place"
