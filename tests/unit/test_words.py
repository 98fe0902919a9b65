"""Numbers in messages."""

from collections import Counter

from ingestion.words import counted, counted_are
from orchestration.job.verdict import Verdict


def test_one_is_not_several() -> None:
    assert [counted(n, "row") for n in (0, 1, 2000)] == ["0 rows", "1 row", "2,000 rows"]
    assert [counted_are(n, "file") for n in (1, 2)] == ["1 file is", "2 files are"]


def test_a_verdict_tells_of_one_missing_file_as_of_one() -> None:
    def words(missing: int) -> str:
        return Verdict(3, 60, 50, 10, True, missing, "2024-01", "2024-03", Counter()).words

    assert " 1 file is missing; it is named below." in words(1)
    assert " 2 files are missing; they are named below." in words(2)
