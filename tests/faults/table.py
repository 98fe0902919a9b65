"""The results of the injected faults, a row a fault."""

from collections.abc import Iterable
from dataclasses import astuple, dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any

BAD = ("lost", "doubled", "wrong", "silent")
HEADS = ("fault", "tried", *BAD, "worst recovery")


@dataclass(frozen=True)
class Tried:
    """One injected fault: how often it was tried, and with what result.

    ``lost`` and ``doubled`` are rows; ``wrong`` are values; ``silent`` counts the times without an
    error message or alert, and is none where there is nothing to report: the run survives the
    fault, or was killed. ``seconds`` is the longest time to a full recovery.
    """

    fault: str
    times: int = 1
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    silent: int | None = None
    seconds: float = 0.0

    def values(self) -> list[Any]:
        """The fields in their order, in a form that test workers can send."""
        return list(astuple(self))


def table(tried: Iterable[Tried]) -> str:
    """The faults as a Markdown table, a row each; counts from several tests are added up."""
    rows = [HEADS, tuple("---" for _ in HEADS)]
    for fault, group in groupby(sorted(tried, key=attrgetter("fault")), attrgetter("fault")):
        of = list(group)
        counts = [_added([getattr(t, name) for t in of]) for name in ("times", *BAD)]
        rows.append((fault, *counts, f"{max(t.seconds for t in of):.1f} s"))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _added(counts: list[int | None]) -> str:
    known = [count for count in counts if count is not None]
    return str(sum(known)) if known else "-"
