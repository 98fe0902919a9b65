"""What came of each fault that was tried, a row a fault."""

from collections.abc import Iterable
from dataclasses import astuple, dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any

BAD = ("lost", "doubled", "wrong", "silent")
HEADS = ("fault", "tried", *BAD, "worst recovery")


@dataclass(frozen=True)
class Tried:
    """One fault: how often it was tried, and what came of it.

    ``lost`` and ``doubled`` are rows; ``wrong`` are values; ``silent`` counts the times when nobody
    was told. ``seconds`` is the longest time until all was well again.
    """

    fault: str
    times: int = 1
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    silent: int = 0
    seconds: float = 0.0

    def values(self) -> list[Any]:
        """The fields in their order, as test workers can send them."""
        return list(astuple(self))


def table(tried: Iterable[Tried]) -> str:
    """The faults as a Markdown table, a row each; what was tried in several tests is added up."""
    rows = [HEADS, tuple("---" for _ in HEADS)]
    for fault, group in groupby(sorted(tried, key=attrgetter("fault")), attrgetter("fault")):
        of = list(group)
        counts = [sum(getattr(t, name) for t in of) for name in ("times", *BAD)]
        rows.append((fault, *map(str, counts), f"{max(t.seconds for t in of):.1f} s"))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
