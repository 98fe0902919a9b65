"""Make the site: ask the queries, write the data, the pages and what they need."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from ingestion.errors import MedallionError
from ingestion.publications.read import PublishedDuckDb
from ingestion.settings import Settings
from ingestion.warehouse.base import Engine, Result, Session, tables
from orchestration.job.reading import reading
from orchestration.site import charts, folder, library, zones
from orchestration.site.data import as_rows, plain, write_data
from orchestration.site.figures import Figure, figures, query

PAGES = (
    ("index", "Trips"),
    ("zones", "Zones"),
    ("money", "Money"),
    ("trust", "Trust"),
)
LEADS = {
    "index": "How many trips the city takes, who takes them there, and how that has changed.",
    "zones": "Where trips begin and end, what they bring in, and when.",
    "money": "What passengers pay, what it is made of, and what drivers earn.",
    "trust": "Whether the numbers of these pages can be trusted, and how that is known.",
}
NEEDED = (
    "daily_trips",
    "dim_zones",
    "hourly_zone_demand",
    "hourly_zone_dropoffs",
    "ledger",
    "ledger_reasons",
    "monthly_service_summary",
    "monthly_zone_revenue",
    "tlc_reconciliation",
    "zone_pair_trips",
)
WIDE = {"trips_by_month", "revenue_by_month", "reconciliation", "report_measures", "flagged_rows"}


@dataclass(frozen=True)
class Built:
    """The site that was made: its folder, its pages, and what it took."""

    folder: Path
    pages: tuple[str, ...]
    files: int
    bytes: int
    seconds: float

    @property
    def index(self) -> Path:
        """The page to open."""
        return self.folder / "index.html"

    @property
    def summary(self) -> str:
        """One line for people."""
        return (
            f"{self.index}: {len(self.pages)} pages, {self.files} files,"
            f" {self.bytes / 1e6:,.1f} MB, made in {self.seconds:.0f} s"
        )


def build_site(
    settings: Settings,
    out: Path | None = None,
    say: Callable[[str], object] = lambda _: None,
) -> Built:
    """Make the site of what can be read now; swap it in when it is whole.

    While a run is under way it is made of the publication. Raises ``MedallionError`` if the marts
    are not built, if the folder holds something else, or if the extra ``site`` is not installed.
    """
    began = time.monotonic()
    script = library.script(settings)
    out = out or settings.site_path
    with reading(settings, say=say) as (engine, session), engine.snapshot(session):
        there = {name for schema, name in tables(session) if schema == "marts"}
        if not set(NEEDED) <= there:
            raise MedallionError(
                f"The marts are not built yet. Build them with: {settings.run_command}"
            )
        with folder.swapped(out) as new:
            new.assets.joinpath("vega.js").write_text(script, "utf-8")
            for name in ("site.css", "site.js", "zones.js"):
                new.add_static(name)
            site = Site(settings, engine, session, new)
            site.write()
    return Built(
        out,
        tuple(f"{name}.html" for name, _ in PAGES),
        new.files,
        new.bytes,
        time.monotonic() - began,
    )


class Site:
    """One site while it is made."""

    def __init__(self, settings: Settings, engine: Engine, session: Session, new: folder.NewFolder):
        self._settings = settings
        self._engine = engine
        self._session = session
        self._new = new
        self._results: dict[str, Result] = {}

    def write(self) -> None:
        """Write every page with its data."""
        self._page("index", "figures.html", "trips", tiles=self._trip_tiles())
        zones.write_zones(self.ask, self._new.assets / "data", self.services)
        self._page(
            "zones",
            "zones.html",
            "zones",
            spec={
                "map": charts.zone_map(),
                "history": charts.zone_history(),
                "week": charts.week(),
            },
            queries=[(name, words, query(name)) for name, words in zones.QUERIES],
            from_line=self._from_line(None),
        )
        self._page("money", "figures.html", "money", tiles=self._money_tiles())
        self._page("trust", "figures.html", "trust", tiles=self._trust_tiles())

    def ask(self, name: str, *parameters: Any) -> Result:
        """The result of a query of the site; one without parameters is asked once."""
        if parameters:
            return self._session.query(query(name), parameters)
        if name not in self._results:
            self._results[name] = self._session.query(query(name))
        return self._results[name]

    @cached_property
    def services(self) -> list[str]:
        """The services that are held, in the order of the theme."""
        held = {row["service"] for row in self.ask("trips_by_month").records()}
        known = list(charts.theme()["services"])
        return [s for s in known if s in held] + sorted(held - set(known))

    @cached_property
    def ledger(self) -> dict[str, Any]:
        """The sums of the ledger."""
        rows = self.ask("ledger").records()
        single = self.ask("ledger_single_files").records()
        months = sorted(row["month"] for row in rows)
        return {
            "files": len(rows),
            "file_rows": sum(row["file_rows"] or 0 for row in rows),
            "valid_rows": sum(row["valid_rows"] or 0 for row in rows),
            "invalid_rows": sum(row["invalid_rows"] or 0 for row in rows),
            "is_balanced": all(row["is_balanced"] for row in [*rows, *single]),
            "missing": sum(bool(row["missing_reason"]) for row in [*rows, *single]),
            "first": f"{months[0]:%Y-%m}" if months else "none",
            "last": f"{months[-1]:%Y-%m}" if months else "none",
        }

    @cached_property
    def source(self) -> dict[str, str]:
        """What is read, and the run that made it."""
        builds = self.ask("builds").records() if self._has("dbt_invocations") else []
        last = next((b for b in builds if b["succeeded"]), None)
        if isinstance(self._engine, PublishedDuckDb):
            label = f"publication {self._engine.publication.id}"
        else:
            label = self._engine.label
        run = (
            f"Run {str(last['invocation_id'])[:8]}, {_moment(last['completed_at'])}"
            if last
            else "The run is not known to this account"
        )
        return {"label": label, "run": run}

    def _has(self, name: str) -> bool:
        return name in {table for _, table in tables(self._session)}

    def _page(self, name: str, template: str, group: str, **more: Any) -> None:
        own = figures().get(group, ())
        data = {
            figure.query: as_rows(result.columns, result.rows)
            for figure in own
            for result in [self.ask(figure.query)]
        }
        if data:
            write_data(self._new.assets / "data" / f"{group}.js", group, data)
        theme = charts.theme()
        assets = self._new.assets_name
        page = {
            "assets": assets,
            "data": group,
            "services": theme["services"],
            "events": theme["events"],
        }
        text = (
            _environment()
            .get_template(template)
            .render(
                here=name,
                title=dict(PAGES)[name],
                lead=LEADS[name],
                pages=PAGES,
                page=page,
                assets=assets,
                is_sample=self._settings.variant.startswith("sample"),
                ledger=self.ledger,
                source=self.source,
                made_at=_moment(datetime.now(UTC)),
                version=_version(),
                figures=[self._figure(figure) for figure in own],
                services=[(s, _label(s)) for s in self.services],
                **more,
            )
        )
        self._new.add_page(f"{name}.html", text)

    def _figure(self, figure: Figure) -> dict[str, Any]:
        result = self.ask(figure.query)
        made = dict(figure.chart)
        chart = getattr(charts, made.pop("kind"))
        return {
            "name": figure.name,
            "query": figure.query,
            "title": figure.title,
            "caption": figure.caption,
            "nothing": figure.nothing,
            "rows": len(result.rows),
            "spec": chart(**made) if result.rows else None,
            "sql": query(figure.query),
            "from": self._from_line(result),
            "wide": figure.name in WIDE,
            "reasons": figure.chart.get("kind") == "heat",
        }

    def _from_line(self, result: Result | None) -> str:
        """From which months, versions and run the rows of a figure come."""
        ledger = [row for row in self.ask("ledger").records() if row["fact_rows"]]
        if result is not None:
            records = result.records()
            services = {row[n] for row in records for n in ("service", "dataset") if row.get(n)}
            months = {m for row in records for m in [row.get("month")] if isinstance(m, date)}
            if services:
                ledger = [row for row in ledger if row["dataset"] in services]
            if months:
                ledger = [row for row in ledger if row["month"] in months]
        if not ledger:
            return f"No month of the facts. {self.source['run']}."
        held = [row["month"] for row in ledger]
        return (
            f"Months {min(held):%Y-%m} to {max(held):%Y-%m}, {len(ledger)} file versions."
            f" {self.source['run']}."
        )

    def _trip_tiles(self) -> list[dict[str, Any]]:
        rows = self.ask("trips_by_month").records()
        newest = max((row["month"] for row in rows), default=None)
        tiles = [_tile("Valid trips held", sum(row["trips"] for row in rows))]
        for service in self.services:
            own = [row for row in rows if row["service"] == service]
            last = max(own, key=lambda row: row["month"])
            tiles.append(
                _tile(
                    f"{_label(service)}, a day",
                    plain(last["trips_per_day"]),
                    f"in {last['month']:%Y-%m}"
                    + ("" if last["month"] == newest else ", the newest held"),
                )
            )
        return tiles

    def _money_tiles(self) -> list[dict[str, Any]]:
        rows = self.ask("revenue_by_month").records()
        fees = self.ask("congestion_fees").records()
        paid = sum(row["total_usd"] for row in rows)
        pay = sum(row["driver_pay_usd"] or 0 for row in rows)
        return [
            _tile("Paid by passengers", plain(paid), "all months held", usd=True),
            _tile("Driver pay", plain(pay), "high-volume trips", usd=True),
            _tile(
                "Congestion relief fees",
                plain(sum(row["fees_usd"] for row in fees)),
                "since 2025-01-05",
                usd=True,
            ),
        ]

    def _trust_tiles(self) -> list[dict[str, Any]]:
        ledger = self.ledger
        compared = self.ask("reconciliation").records()
        outside = sum(row["status"] == "out_of_tolerance" for row in compared)
        return [
            _tile("Rows in the files", ledger["file_rows"], f"{ledger['files']} files"),
            _tile("Valid rows", ledger["valid_rows"]),
            _tile("Flagged rows", ledger["invalid_rows"], "kept, with a reason"),
            _tile("Months out of tolerance", outside, f"of {len(compared)} compared"),
        ]


def _tile(name: str, value: Any, note: str = "", usd: bool = False) -> dict[str, Any]:
    return {"name": name, "value": value, "shown": _short(value, usd), "note": note}


def _short(value: float, usd: bool) -> str:
    sign = "$" if usd else ""
    for size, unit in ((1e9, "billion"), (1e6, "million")):
        if abs(value) >= 10 * size or (size == 1e9 and abs(value) >= size):
            return f"{sign}{value / size:,.1f} {unit}"
    return f"{sign}{value:,.0f}"


def _label(service: str) -> str:
    return str(charts.theme()["services"].get(service, {}).get("label", service))


def _moment(value: Any) -> str:
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _version() -> str:
    from importlib.metadata import version

    return version("medallion")


def _environment() -> Any:
    from jinja2 import Environment, PackageLoader
    from markupsafe import Markup

    made = Environment(
        loader=PackageLoader(__package__), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    # in a script element only its own end tag could end it
    made.filters["json"] = lambda value: Markup(  # noqa: S704
        json.dumps(value, ensure_ascii=False).replace("<", "\\u003c")
    )
    made.filters["number"] = lambda value: f"{value:,}"
    return made
