"""The whole job on DuckDB is killed anywhere."""

import pytest

from tests.faults.many_kills import Kills

pytestmark = pytest.mark.slow


class TestDuckDb(Kills):
    kind = "DuckDB"
