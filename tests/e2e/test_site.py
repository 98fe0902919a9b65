"""The site as its readers meet it: in a browser, from disk and from a server."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from threading import Thread
from typing import Any

import duckdb
import pytest

from ingestion.settings import PROJECT_ROOT
from orchestration.site.figures import figures
from orchestration.site.serve import server_of
from tests.e2e.conftest import Place
from tests.support import browser, npm

pytestmark = pytest.mark.slow

PAGES = ("index", "zones", "money", "trust", "data", "lineage")
AXE = "4.14.1"
SHOWN = ".mark-symbol path, .mark-line path, .mark-rect path"
LIGHT_DESKTOP, DARK_PHONE = (1280, 900, False), (390, 844, True)


@pytest.fixture(scope="module")
def site(part: Place, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of the six months, made twice: the second takes the place of the first."""
    out = tmp_path_factory.mktemp("site") / "out"
    for _ in range(2):
        part.medallion("site", "--out", str(out), "--quiet")
    return out


@pytest.fixture(scope="module")
def chromium() -> Iterator[browser.Page]:
    if browser.program() is None:
        pytest.skip("a page needs Debian's chromium: apt-get install chromium")
    with browser.browser() as opened:
        yield opened


@pytest.fixture
def page(chromium: browser.Page) -> Iterator[browser.Page]:
    """The browser; a test fails if a page complains, or asks anybody but this machine."""
    chromium.errors.clear()
    chromium.requests.clear()
    chromium.show_as(*LIGHT_DESKTOP)
    yield chromium
    assert chromium.errors == []
    ours = ("file:", "data:", "blob:", "about:", "http://127.0.0.1:")
    assert [url for url in chromium.requests if not url.startswith(ours)] == []


def rows_in(sql: str, place: Place) -> list[tuple[Any, ...]]:
    """What a query gives, as the pages have it."""

    def plain(value: Any) -> Any:
        if isinstance(value, Decimal):
            return float(value)
        return value.isoformat() if isinstance(value, date) else value

    return [tuple(plain(value) for value in row) for row in place.query(sql)]


@pytest.mark.parametrize("kind", [LIGHT_DESKTOP, DARK_PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_whole_and_open_to_all(
    site: Path, page: browser.Page, name: str, kind: tuple[int, int, bool]
) -> None:
    axe = npm.installed("axe-core", AXE) / "axe.min.js"
    page.show_as(*kind)
    page.open((site / f"{name}.html").as_uri())
    assert page.evaluate("document.documentElement.dataset.theme") == (
        "dark" if kind[2] else "light"
    )
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    drawn = page.evaluate(
        "[...document.querySelectorAll('.chart[data-query]')]"
        f".map(chart => chart.querySelectorAll({SHOWN!r}).length)"
    )
    assert all(drawn)
    # what is folded away is looked at too, where it is not many
    page.evaluate(
        "document.querySelectorAll('details:not(.model)').forEach(d => { d.open = true; })"
    )
    page.evaluate(axe.read_text() + ";0")
    assert complaints(page, "{ preload: false }") == []

    # the other colours, on the same screen
    page.evaluate("document.getElementById('theme').click()")
    page.until(f"document.documentElement.dataset.theme === '{'light' if kind[2] else 'dark'}'")
    page.until(
        "[...document.querySelectorAll('.chart[data-query]')]"
        f".every(chart => chart.querySelectorAll({SHOWN!r}).length)"
    )
    assert complaints(page, "{ preload: false, runOnly: ['color-contrast'] }") == []
    page.evaluate("localStorage.clear()")


def complaints(page: browser.Page, options: str) -> Any:
    """What axe finds, each with its impact, its rule and the first elements."""
    return page.evaluate(
        f"axe.run({options}).then(r => r.violations.map(v => [v.impact, v.id,"
        " v.nodes.slice(0, 3).map(n => n.html.slice(0, 120))]))"
    )


def test_pictures_have_a_mark_for_each_row_of_their_query(
    part: Place, site: Path, page: browser.Page
) -> None:
    for name, group in (("index", "trips"), ("money", "money"), ("trust", "trust")):
        page.open((site / f"{name}.html").as_uri())
        for figure in figures()[group]:
            sql = page.evaluate(
                f"document.querySelector('[data-figure={figure.name}] pre.query').textContent"
            )
            rows = part.query(sql)
            selector = f"[data-figure={figure.name}] .chart svg"
            if not rows:
                assert page.evaluate(f"document.querySelector({selector!r})") is None
                continue
            kind, measure = figure.chart["kind"], figure.chart.get("measure")
            mark = "rect" if kind in ("heat", "flagged", "parts", "stacked") else "symbol"
            marks = page.evaluate(
                f"document.querySelectorAll('{selector} .mark-{mark}.role-mark path').length"
            )
            if kind == "days":
                assert page.evaluate(
                    f"document.querySelectorAll('{selector} .mark-line.role-mark path').length"
                )
            elif measure and mark == "symbol":
                with part.connect() as connection:
                    shown = connection.sql(f"from ({sql}) where {measure} is not null")
                    assert marks == len(shown.fetchall())
            elif kind == "inside_and_outside":
                assert marks == len(rows)
            else:
                assert marks == len(rows), figure.name


def test_figures_are_those_of_the_marts(part: Place, site: Path, page: browser.Page) -> None:
    page.open((site / "index.html").as_uri())
    shown = page.evaluate("[...document.querySelectorAll('.tiles data')].map(d => Number(d.value))")
    assert shown[0] == part.query("select sum(trips) from marts.daily_trips")[0][0]
    by_day = page.evaluate("medallion.load('trips').then(d => d.trips_by_day.rows)")
    assert [tuple(row[:3]) for row in by_day] == rows_in(
        "select service, pickup_date, trips from marts.daily_trips where pickup_date >"
        " (select max(pickup_date) - 366 from marts.daily_trips) order by 1, 2",
        part,
    )
    page.evaluate("document.querySelector('[data-figure=trips_by_month] .numbers').open = true")
    page.until("document.querySelector('[data-figure=trips_by_month] .numbers tbody tr')")
    told = page.evaluate(
        "[...document.querySelectorAll('[data-figure=trips_by_month] .numbers tbody tr')]"
        ".map(r => [r.cells[0].textContent, r.cells[2].textContent])"
    )
    assert [tuple(row) for row in told] == part.query(
        "select service, format('{:,}', sum(trips)::bigint) from marts.daily_trips"
        " group by service, source_month order by service, source_month"
    )
    page.open((site / "trust.html").as_uri())
    ledger = page.evaluate(
        "[...document.querySelectorAll('[data-figure=ledger] tbody tr')]"
        ".map(r => [r.cells[0].textContent, ...[...r.querySelectorAll('data')].map(d => +d.value)])"
    )
    counted = part.query(
        "select dataset, count(*), sum(file_rows), sum(raw_rows), sum(fact_rows), sum(valid_rows),"
        " sum(invalid_rows) from marts.ledger group by dataset order by dataset"
    )
    assert [tuple(row) for row in ledger[: len(counted)]] == counted
    ((compared,),) = part.query(
        "select count(*) from marts.tlc_reconciliation"
        " where status in ('reconciled', 'known_divergence', 'out_of_tolerance')"
    )
    answer = page.evaluate("document.querySelector('.answer').textContent")
    assert f"All {compared} months that could be compared" in answer
    examples = page.evaluate(
        "[...document.querySelectorAll('[data-figure=examples] details')].map(d =>"
        " d.querySelector('dl code')?.textContent).filter(Boolean)"
    )
    broken = part.query("select count(distinct invalid_reason) from marts.ledger_reasons")[0][0]
    assert len(examples) == broken
    trip = part.medallion_json("explain", examples[0].split()[-1])
    assert trip["fact"]["is_valid"] is False


def test_the_map_shows_every_zone_and_what_is_chosen(
    part: Place, site: Path, page: browser.Page
) -> None:
    page.open((site / "zones.html").as_uri())
    drawn = page.evaluate("document.querySelectorAll('#map svg .mark-shape path').length")
    assert [(drawn,)] == part.query("select count(geometry) from marts.dim_zones")

    def choose(**chosen: object) -> list[list[Any]]:
        """Choose from the lists, as by keyboard; return the table below the map."""
        for name, value in chosen.items():
            page.evaluate(
                f"(() => {{ const s = document.getElementById('{name}'); s.value = '{value}';"
                " s.dispatchEvent(new Event('change')); })()"
            )
            page.until("document.querySelector('[data-figure=map]').ariaBusy === 'false'")
        page.evaluate("document.getElementById('map-numbers').open = true")
        page.until("document.querySelector('#map-numbers tbody tr')")
        return page.evaluate(
            "[...document.querySelectorAll('#map-numbers tbody tr')]"
            ".map(r => [+r.cells[0].textContent, +r.cells[3].textContent.replaceAll(',', '')])"
        )

    for chosen, sql in (
        (
            {"service": "green", "year": 2023, "month": "2023-02", "measure": "pickups"},
            "select pickup_zone_id, trips from marts.monthly_zone_revenue where service = 'green'"
            " and source_month = '2023-02-01'",
        ),
        (
            {"month": "all", "measure": "dropoffs"},
            "select dropoff_zone_id, sum(trips) from marts.hourly_zone_dropoffs"
            " where service = 'green' and year(source_month) = 2023 group by 1",
        ),
        (
            {"measure": "tips"},
            "select pickup_zone_id, round(100 * sum(card_tip_usd)::double / sum(card_fare_usd), 4)"
            " from marts.tip_shares where service = 'green' and year(source_month) = 2023"
            " group by 1 having sum(card_fare_usd) > 0",
        ),
        (
            # most of these trips name no pickup zone
            {"service": "fhv", "year": 2023, "month": "all", "measure": "dropoffs"},
            "select dropoff_zone_id, count(*) from marts.fct_trips where is_valid"
            " and service = 'fhv' and dropoff_zone_id is not null group by 1",
        ),
        (
            {"service": "fhvhv", "measure": "wait"},
            "select pickup_zone_id, round(sum(avg_wait_minutes * waited_trips)"
            " / sum(waited_trips), 4) from marts.fhvhv_service where waited_trips > 0 group by 1",
        ),
        (
            # January 2025 has four Mondays
            {"measure": "pickups", "day": 0, "hour": 8},
            "select pickup_zone_id, sum(trips) / 4 from marts.hourly_zone_demand where"
            " service = 'fhvhv' and isodow(pickup_hour) = 1 and hour(pickup_hour) = 8 group by 1",
        ),
    ):
        told = {zone: value for zone, value in choose(**chosen) if value}
        counted = {zone: float(value) for zone, value in part.query(sql) if zone and value}
        assert told == pytest.approx(counted, abs=0.0002)

    choose(day="all")
    choose(hour="all", zone=138)
    page.until("document.getElementById('zone-pickups')")
    ((trips, usd),) = part.query(
        "select trips, total_usd from marts.monthly_zone_revenue where service = 'fhvhv'"
        " and pickup_zone_id = 138"
    )
    shown = page.evaluate(
        "['pickups', 'revenue'].map(n => document.getElementById(`zone-${n}`).textContent)"
    )
    assert shown == [f"{trips:,}", f"{usd:,}".rstrip("0").rstrip(".")]
    most = page.evaluate("document.querySelector('#pairs tbody tr').textContent")
    ((zone, count),) = part.query(
        "select zone, sum(trips)::bigint from marts.zone_pair_trips join marts.dim_zones"
        " on dropoff_zone_id = zone_id where service = 'fhvhv' and pickup_zone_id = 138"
        " group by zone, zone_id order by 2 desc, zone_id limit 1"
    )
    assert most == f"{zone}{count:,}"
    # a click on a zone does the same as the list
    page.evaluate(
        "document.querySelectorAll('#map svg .mark-shape path')[0]"
        ".dispatchEvent(new MouseEvent('click', { bubbles: true }))"
    )
    page.until("document.getElementById('zone').value !== '138'")


def test_links_lead_somewhere(site: Path, page: browser.Page) -> None:
    anchors = {}
    for name in PAGES:
        page.open((site / f"{name}.html").as_uri())
        links = page.evaluate(
            "[...document.querySelectorAll('a[href]')].map(a => a.getAttribute('href'))"
        )
        anchors[f"{name}.html"] = (
            set(page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")),
            links,
        )
    page.open((site / "lineage.html").as_uri())
    lineage = page.evaluate(
        "medallion.load('lineage').then(l => Object.entries(l.relations)"
        ".flatMap(([r, { columns }]) => [r, ...columns.map(([c]) => `${r}.${c}`)]))"
    )
    anchors["lineage.html"][0].update(lineage)
    for name, (_, links) in anchors.items():
        for link in links:
            if link.startswith("blob:"):
                continue
            target, _, anchor = link.partition("#")
            assert (target or name) in anchors, link
            assert not anchor or anchor in anchors[target or name][0], (name, link)


def test_a_query_is_copied_and_gives_the_figure(
    part: Place, site: Path, page: browser.Page
) -> None:
    page.open((site / "money.html").as_uri())
    page.evaluate("navigator.clipboard.writeText = async text => { window.copied = text; }")
    page.evaluate("document.querySelector('[data-figure=revenue_by_month] [data-copy]').click()")
    page.until("window.copied")
    answer = json.loads(part.medallion("query", page.evaluate("window.copied"), "--format", "json"))
    shown = page.evaluate("medallion.load('money').then(d => d.revenue_by_month)")
    assert [row["trips"] for row in answer] == [
        row[shown["columns"].index("trips")] for row in shown["rows"]
    ]
    said = page.evaluate(
        "document.querySelector('[data-figure=revenue_by_month] .words').textContent"
    )
    assert re.fullmatch(
        r"Months 2023-01 to 2025-01, 5 file versions\. Run [0-9a-f]{8}, [-0-9]{10} [:0-9]{5} UTC\.",
        said,
    )


def test_light_and_dark_are_switched_by_hand(site: Path, page: browser.Page) -> None:
    page.open((site / "index.html").as_uri())
    page.evaluate("document.getElementById('theme').click()")
    page.until("document.documentElement.dataset.theme === 'dark'")
    page.open((site / "money.html").as_uri())
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.evaluate("localStorage.clear()")


def test_the_dictionary_is_searched_and_leads_to_the_lineage(
    site: Path, page: browser.Page
) -> None:
    page.open((site / "data.html").as_uri())
    page.evaluate(
        "(() => { const s = document.getElementById('search'); s.value = 'median minutes wait';"
        " s.dispatchEvent(new Event('input')); })()"
    )
    page.until("document.querySelectorAll('#hits li').length")
    first = page.evaluate("document.querySelector('#hits li a').textContent")
    assert first.startswith("marts.")
    page.open((site / "lineage.html").as_uri() + "#marts.daily_trips.trip_miles")
    page.until("document.getElementById('title-graph').textContent.includes('trip_miles')")
    upstream = page.evaluate("[...document.querySelectorAll('#up a')].map(a => a.textContent)")
    assert "tlc.green_tripdata.trip_distance" in upstream


def test_a_server_shows_it_on_this_machine_only(site: Path, page: browser.Page) -> None:
    with server_of(site) as server:
        host, port = server.server_address[:2]
        assert host == "127.0.0.1"
        Thread(target=server.serve_forever, daemon=True).start()
        page.open(f"http://127.0.0.1:{port}/")
        assert page.evaluate("document.querySelectorAll('.chart svg').length")
        server.shutdown()


def test_the_folder_holds_one_site_and_nothing_of_others(part: Place, site: Path) -> None:
    builds = [path.name for path in site.iterdir() if path.is_dir()]
    assert len(builds) == 2
    used = {re.search(r'href="(build-[^/]+)/', (site / f"{n}.html").read_text())[1] for n in PAGES}
    assert used == {max(builds)}
    other = part.folder.parent / "somebody"
    shutil.rmtree(other, ignore_errors=True)
    other.mkdir()
    (other / "thesis.txt").write_text("years of work")
    part.medallion("site", "--out", str(other), expect=2)
    assert "holds files that are not of a site" in part.last_stderr
    assert [path.name for path in other.iterdir()] == ["thesis.txt"]


def test_while_the_warehouse_is_held_the_publication_gives_the_same(
    copy: Place, site: Path, tmp_path: Path
) -> None:
    copy.env["MEDALLION_PUBLISH_URL"] = str(copy.folder / "gold")
    copy.medallion("publish", "--quiet")
    out = tmp_path / "site"
    with duckdb.connect(copy.warehouse):  # as a run holds it
        copy.medallion("site", "--out", str(out))
    assert "reading publication" in copy.last_stderr
    assert "Made from publication" in (out / "index.html").read_text()
    assert data_of(out) == data_of(site)


def test_without_its_extra_one_line_says_what_to_install(place: Place) -> None:
    script = "import sys; sys.modules['altair'] = None; from orchestration.cli import main; main()"
    for command in (["site"], ["run", "--site"]):
        done = subprocess.run(
            [sys.executable, "-c", script, *command, "--sample"],
            env=place.environment(),
            cwd=PROJECT_ROOT,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 2
        assert done.stderr == (
            "error: The site needs altair, of the extra site: uv sync --extra site, or"
            " pip install 'medallion[site]'.\n"
        )
    assert not place.lake.exists()


def data_of(site: Path) -> dict[str, str]:
    """The data that the pages of a site load, by file."""
    build = re.search(r'href="(build-[^/]+)/', (site / "index.html").read_text())[1]
    data = site / build / "data"
    return {str(path.relative_to(data)): path.read_text() for path in data.rglob("*.js")}
