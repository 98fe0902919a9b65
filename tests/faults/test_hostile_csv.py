"""Three readers of CSV, the same values: of whatever the check lets pass, however it is written."""

from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingestion.errors import UntrustedFileError
from ingestion.formats.csv_reader import csv_batches, csv_rows, duckdb_csv_sql
from tests.faults.conftest import Tally

pytestmark = pytest.mark.slow

PLAIN = ["", "1", "abc", " ", "x y", "NULL", "\\N", "nan", "1e5", "0x1", "2019-01-01", "true"]
ODD = [
    *('"', '""', "'", ",", ",,", ";", "|", "\t", "\\", '\\"', "#", "--", "//", "%"),
    *("\r", "\n", "\r\n", "\r\r\n", "\x0b", "\x0c", "\x1a", "\x1c", "\x01", "\x7f"),
    *("\x85", "\u2028", "\u2029", "\u00a0", "\ufeff", "é", "\U0001f600", " ", "  "),
    *('"x"', '"x,y"', '"x\ny"', '"x\r\ny"', '" x"', ' "x"', '"x" ', '"x""y"', '""""'),
]
ENDS = ["\n", "\r\n", "\n", "\r\n", "\n\n", "\n\r\n", "\r\r\n", "\r", ""]


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


odd = st.lists(st.sampled_from(ODD + PLAIN), max_size=3).map("".join)
field = st.one_of(st.sampled_from(PLAIN), odd.map(_quoted), odd)


@st.composite
def files(draw: Any) -> str:
    """A header and some rows, most of them as long as it."""
    width = draw(st.integers(1, 4))
    mark = draw(st.sampled_from(["", "", "\ufeff"]))
    header = ",".join(["a", '"b"', "c d", ""][:width])
    text = mark + header + draw(st.sampled_from(ENDS[:6]))
    for _ in range(draw(st.integers(1, 5))):
        row = draw(st.lists(field, min_size=width, max_size=width))
        text += ",".join(row) + draw(st.sampled_from(ENDS))
    return text


def test_three_readers_take_the_same_of_what_the_check_lets_pass(
    tmp_path: Path, tally: Tally, at_length: bool
) -> None:
    path = tmp_path / "file.csv"
    counts = {"tried": 0, "agreed": 0}
    connection = duckdb.connect(config={"threads": 1})

    @settings(
        max_examples=20_000 if at_length else 400,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(text=files(), line_breaks=st.booleans())
    def agree(text: str, line_breaks: bool) -> None:
        counts["tried"] += 1
        path.write_bytes(text.encode())
        try:
            with csv_rows(path, False, line_breaks) as file:
                rows = [tuple(row) for row in file]
        except UntrustedFileError:
            return
        if not rows:  # refused as a file without rows, before another reader opens it
            return
        arrow: list[tuple[str, ...]] = []
        for batch in csv_batches(path, False, file.columns):
            arrow += zip(*(column.to_pylist() for column in batch.columns), strict=True)
        assert arrow == rows
        reader = duckdb_csv_sql(f"'{path}'", False, file.columns)
        assert connection.sql(f"from {reader}").fetchall() == rows
        counts["agreed"] += 1

    agree()
    assert counts["agreed"] > counts["tried"] / 20
    tally("odd CSV that three readers must take alike", times=counts["tried"])
