"""The table itself."""

from tests.faults.kills import compared, rows_of
from tests.faults.table import Tried, table


def test_what_was_tried_in_several_tests_is_added_up() -> None:
    lines = table(
        [
            Tried("kill", 2, seconds=1),
            Tried("a", 1, lost=3, silent=1),
            Tried("kill", 5, seconds=9),
            Tried("a", 1),
        ]
    )
    assert lines.splitlines()[2:] == [
        "| a | 2 | 3 | 0 | 0 | 1 | 0.0 s |",
        "| kill | 7 | 0 | 0 | 0 | - | 9.0 s |",
    ]


def test_rows_that_are_lost_doubled_or_changed_are_told_apart() -> None:
    expected = {"facts": rows_of([(1, 2.0), (2, 2.0), (3, None)])}
    assert compared(expected, expected) == {"lost": 0, "doubled": 0, "wrong": 0}
    found = {"facts": rows_of([(1, 2.0), (1, 2.0), (2, 2.5)]), "more": rows_of([(1,)])}
    assert compared(expected, found) == {"lost": 1, "doubled": 1, "wrong": 2}
