"""What people see in a terminal: what fits a screen, the text of others as it is, and bars."""

import os
import re
import sys
from datetime import date
from pathlib import Path

import pytest

from ingestion.settings import PROJECT_ROOT
from tests.e2e.conftest import Place
from tests.support.terminal import LINES, Shown, in_terminal
from tests.support.trips import publish, trips

pytestmark = pytest.mark.slow

ODD = ":x: [/b] [red]"
ENDLESS = "select count(*) from range(1000000000) as a, range(1000000000) as b"
# seventeen years of four services, of which many months need attention
HISTORY = """
from datetime import UTC, date, datetime
from pathlib import Path
from orchestration.cli.show_status import print_status
from orchestration.job.status import FileStatus, Status

def file(dataset, n):
    month = date(2009 + n // 12, n % 12 + 1, 1)
    odd = ":x: [/b] it is \\x1b[2J no Parquet file, " + "and it says so at length " * 8
    return FileStatus(
        dataset, month, True, n % 5 == 1, 1, n % 3 > 0, n % 3 > 0, odd if n % 7 == 1 else None
    )

names = ("fhv", "fhvhv", "green", "yellow")
files = [file(name, n) for name in names for n in range(204)]
files += [FileStatus(f"reference_{n}", None, True, False, 1, True, False, None) for n in range(9)]
last = {
    "by": "flow", "command": "nightly", "succeeded": True, "error": None,
    "completed_at": datetime(2026, 11, 29, 11, 9, tzinfo=UTC),
}
print_status(Status(files, None, [], None, last, None), False, Path("data/site/index.html"))
"""


def shown(place: Place, *arguments: str) -> Shown:
    command = [sys.executable, "-m", "orchestration.cli", *arguments]
    return in_terminal(command, place.environment())


def test_the_summary_of_a_night_fits_a_screen_and_leads_to_the_site(
    copy: Place, tmp_path: Path
) -> None:
    for month in range(1, 13):
        day = date(2024, month, 1)
        publish(copy.published, "green", day, trips("green", day, rows=20))
    site = tmp_path / "site"
    copy.env["MEDALLION_SITE_DIR"] = str(site)
    night = shown(copy, "run", "--quiet")
    assert night.code == 0, night.piped
    assert night.height < LINES
    # what is left out is named, and the command that shows it works
    (new,) = re.findall(r"^new +12: (?:.|\n +)*? and (\d+) more: (.*)$", night.text, re.MULTILINE)
    assert int(new[0]) > 3
    command = new[1].removeprefix("medallion ").split()
    assert copy.medallion(*command).count("2024-") == 12
    flagged = re.search(r"^flagged .*\n(.*) more: medallion (audit)$", night.text, re.MULTILINE)
    assert flagged
    reasons = copy.query("select distinct invalid_reason from marts.ledger_reasons")
    told = copy.medallion(flagged[2])
    assert all(reason in told for (reason,) in reasons)
    assert re.search(r"^site +none yet$", night.text, re.MULTILINE)
    assert "uv run medallion site --serve" in night.text
    # afterwards there is one
    site.mkdir()
    (site / "index.html").touch()
    later = shown(copy, "run", "--quiet")
    assert str(site / "index.html") in later.text.replace("\n", "").replace(" ", "")
    assert later.height < LINES
    assert str(site / "index.html") in copy.medallion("status")


def test_status_is_one_screen_whatever_the_history(part: Place) -> None:
    whole = in_terminal([sys.executable, "-c", HISTORY], dict(os.environ))
    assert whole.code == 0, whole.piped
    assert whole.height < LINES
    assert re.search(r"^yellow +2009-01 to 2025-12 +204 +136 +136 +", whole.text, re.MULTILINE)
    assert re.search(r"^and \d+ more: medallion status --all$", whole.text, re.MULTILINE)
    assert ":x: [/b] it is" in whole.text
    assert "last run: flow nightly at 2026-11-29 11:09 UTC, good" in whole.text
    assert "site:     data/site/index.html" in whole.text
    glance = shown(part, "status")
    assert glance.height < LINES
    assert "2023-02" not in glance.text.replace("to 2023-02", "")
    # each file is one line where they are asked for
    for arguments in (["--all"], ["--dataset", "green"], ["--from", "2023-02"]):
        assert re.search(r"^green +2023-02 ", part.medallion("status", *arguments), re.MULTILINE)


def test_what_others_wrote_stands_as_it_is_in_every_verb(copy: Place) -> None:
    copy.medallion("withdraw", "green", "2023-02", "--reason", ODD)
    assert copy.medallion_json("status")  # it still reads
    verbs = [
        ["status"],
        ["status", "--all"],
        ["history", "green", "2023-02"],
        ["run", "--quiet"],
        ["audit"],
        ["query", f"select '{ODD}' as \"{ODD}\""],
    ]
    for verb in verbs:
        assert ODD in copy.medallion(*verb), verb
        framed = re.sub(r"[│┃\s]", "", shown(copy, *verb).text)
        assert ODD.replace(" ", "") in framed, verb
    # on stderr too
    copy.medallion("withdraw", "green", "2023-02", "--undo")
    copy.env["MEDALLION_TLC_URL"] = f"file:///{ODD}"
    copy.medallion("land", expect=2)
    assert ODD in copy.last_stderr


def test_the_text_of_others_does_nothing_to_the_terminal(part: Place) -> None:
    found = shown(part, "query", "select 'a' || chr(27) || '[2J' || chr(7) as t")
    assert "\N{REPLACEMENT CHARACTER}[2J\N{REPLACEMENT CHARACTER}" in found.text


def test_only_the_console_prints_by_rich() -> None:
    """It alone knows that texts of others are no markup."""
    printing = {
        path.name
        for path in (PROJECT_ROOT / "orchestration").rglob("*.py")
        if re.search(r"^\s*(from|import) rich\b", path.read_text(), re.MULTILINE)
    }
    assert printing == {"console.py"}


def test_a_long_query_shows_how_far_it_is(part: Place) -> None:
    query = [sys.executable, "-m", "orchestration.cli", "query"]
    long = in_terminal([*query, ENDLESS], part.environment(), errors_only=True, until="0:00:02")
    assert long.code == 130
    assert "query ━" in long.text
    assert long.piped == ""
    short = in_terminal([*query, "select 42 as n"], part.environment(), errors_only=True)
    assert (short.code, short.text) == (0, "")
    assert short.piped.split() == ["n", "42"]
