"""The whole job on PostgreSQL is killed anywhere."""

import pytest

from tests.faults.many_kills import Kills

pytestmark = pytest.mark.slow


class TestPostgres(Kills):
    kind = "PostgreSQL"
