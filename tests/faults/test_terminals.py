"""Terminals that cannot show every sign."""

from datetime import date
from pathlib import Path

import pytest

from tests.e2e.conftest import Place
from tests.faults.conftest import Tally
from tests.support.trips import publish, trips

JANUARY = date(2024, 1, 1)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path)
    made.published.mkdir()
    return made


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "cp1252", "utf-8"])
def test_no_terminal_is_too_simple(place: Place, encoding: str, tally: Tally) -> None:
    place.env["PYTHONIOENCODING"] = encoding
    for rows in (20, 21):
        publish(place.published, "green", JANUARY, trips("green", JANUARY, rows=rows))
        place.medallion("land", "--quiet")
    assert "types" in place.medallion("history", "green", "2024-01")
    place.env["MEDALLION_TLC_URL"] = "http://127.0.0.1:9/[/b]→"
    place.medallion("land", "--dataset", "green", "--from", "2024-01", "--to", "2024-01", expect=1)
    assert "[/b]" in place.last_stderr
    assert "Traceback" not in place.last_stderr
    tally("terminals with another encoding", times=1)
