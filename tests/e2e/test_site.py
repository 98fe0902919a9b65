"""The site as its readers meet it: in a browser, from disk."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Place
from tests.support import browser

pytestmark = pytest.mark.slow

PAGES = ("index", "zones", "money", "trust", "data", "lineage")


@pytest.fixture(scope="module")
def site(part: Place, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of the six months."""
    out = tmp_path_factory.mktemp("site") / "out"
    part.medallion("site", "--out", str(out), "--quiet")
    return out


@pytest.fixture(scope="module")
def page() -> Iterator[browser.Page]:
    if browser.program() is None:
        pytest.skip("a page needs Debian's chromium: apt-get install chromium")
    with browser.browser() as opened:
        yield opened


@pytest.mark.parametrize("name", PAGES)
def test_a_page_opens_from_disk_and_asks_nobody(site: Path, page: browser.Page, name: str) -> None:
    page.errors.clear()
    page.requests.clear()
    page.show_as(1280, 900)
    page.open((site / f"{name}.html").as_uri())
    assert page.errors == []
    assert [url for url in page.requests if not url.startswith(("file:", "data:", "blob:"))] == []
    charts = page.evaluate(
        "[...document.querySelectorAll('.chart[data-query]')].map(c =>"
        " c.querySelectorAll('.mark-symbol path, .mark-line path, .mark-rect path').length)"
    )
    assert all(marks > 0 for marks in charts)


def test_the_map_has_every_zone(part: Place, site: Path, page: browser.Page) -> None:
    page.open((site / "zones.html").as_uri())
    drawn = page.evaluate("document.querySelectorAll('#map svg .mark-shape path').length")
    assert [(drawn,)] == part.query("select count(geometry) from marts.dim_zones")


def test_a_page_shows_the_numbers_of_the_ledger(part: Place, site: Path) -> None:
    text = (site / "trust.html").read_text()
    shown = [int(value) for value in re.findall(r'<data value="(\d+)">', text)]
    ((rows, flagged),) = part.query("select sum(file_rows), sum(invalid_rows) from marts.ledger")
    assert {rows, flagged} <= set(shown)
