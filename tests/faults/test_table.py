"""The table itself."""

from tests.faults.table import Tried, table


def test_what_was_tried_in_several_tests_is_added_up() -> None:
    lines = table([Tried("kill", 2, seconds=1), Tried("a", 1, lost=3), Tried("kill", 5, seconds=9)])
    assert lines.splitlines()[2:] == [
        "| a | 1 | 3 | 0 | 0 | 0 | 0.0 s |",
        "| kill | 7 | 0 | 0 | 0 | 0 | 9.0 s |",
    ]
