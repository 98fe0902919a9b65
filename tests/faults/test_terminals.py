"""Terminals that cannot show every sign."""

import json
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from tests.e2e.conftest import Place
from tests.faults.conftest import Tally
from tests.support.trips import publish, trips

pytestmark = pytest.mark.slow

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
    assert "Traceback" not in place.last_stderr
    tally("terminals with another encoding", silent=int("[/b]" not in place.last_stderr))


@pytest.mark.parametrize(
    ("shell", "code", "said"),
    [
        ("{medallion} status >&-", 0, ""),
        ("{medallion} status <&- >&- 2>&-", 0, ""),
        ("{medallion} sources --json > /dev/full", 1, "error: Cannot write: No space left"),
        ("{medallion} sources > /dev/full", 1, "error: Cannot write: No space left on device."),
        (
            "mkdir gone && cd gone && rmdir ../gone && {medallion} sources",
            2,
            "error: The working directory cannot be used: No such file or directory.",
        ),
    ],
)
def test_no_output_and_no_folder_to_stand_in(
    place: Place, tmp_path: Path, shell: str, code: int, said: str
) -> None:
    medallion = f"'{Path(sys.executable).with_name('medallion')}'"
    done = subprocess.run(
        shell.format(medallion=medallion),
        shell=True,
        cwd=tmp_path,
        env=place.environment(),
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr.count("\n")) == (code, bool(said)), done.stderr
    assert done.stderr.startswith(said)


def test_a_query_prints_what_others_wrote_as_it_is(place: Place) -> None:
    publish(place.published, "green", JANUARY, trips("green", JANUARY))
    place.medallion("land", "--quiet")
    place.medallion("load", "--quiet")
    odd = "select 'nan'::double as n, ':x: [/b]' as t, '\\x01'::blob as b, [1, 2] as l"
    shown = place.medallion("query", odd)
    assert ":x: [/b]" in shown
    (row,) = json.loads(place.medallion("query", odd, "--format", "json"))
    assert row == {"n": None, "t": ":x: [/b]", "b": "01", "l": [1, 2]}
    assert '01,"[1, 2]"' in place.medallion("query", odd, "--format", "csv")
    unsayable = ("query", "select 'Zoë' as name union all select '→'", "--format", "csv")
    place.env["PYTHONIOENCODING"] = "latin-1"
    assert place.medallion(*unsayable, expect=1) == ""
    assert "The result has '\\u2192', which latin-1 cannot write. Set" in place.last_stderr
    place.env["PYTHONIOENCODING"] = "utf-8"
    assert place.medallion(*unsayable).split() == ["name", "Zoë", "→"]
    place.medallion("query", "select 1 as a, 2 as a", "--format", "json", expect=2)
    assert "give each a a name" in place.last_stderr
    assert "green_tripdata" in place.medallion("query", "show tables")
    for word in ("abc", "12"):
        place.medallion("explain", word, expect=2)
        assert "no trip_id" in place.last_stderr
