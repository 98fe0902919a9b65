"""Make the site: ask the queries, write the data, the pages and what they need."""

import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from ingestion.errors import MedallionError, UsageError
from ingestion.publications.read import PublishedDuckDb
from ingestion.settings import Settings
from ingestion.warehouse.base import Engine, Result, Session, tables
from orchestration.job.lineage import Lineage, read_lineage
from orchestration.job.reading import reading
from orchestration.site import charts, folder, packages, trust, zones
from orchestration.site.data import as_rows, plain, write_data
from orchestration.site.figures import Figure, figures, query

PAGES = (
    ("index", "Trips"),
    ("zones", "Zones"),
    ("money", "Money"),
    ("trust", "Trust"),
    ("data", "Data"),
    ("lineage", "Lineage"),
)
LEADS = {
    "index": "How many trips the city takes, who takes them there, and how that has changed.",
    "zones": "Where trips begin and end, what they bring in, and when.",
    "money": "What passengers pay, what it is made of, and what drivers earn.",
    "trust": "Whether the numbers of these pages can be trusted, and how that is known.",
    "data": "What every table and column means, and the documents of the publisher.",
    "lineage": "What each column is made of, and what is made of it.",
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
ASSESSED = ("reconciled", "known_divergence", "out_of_tolerance")
MEMORY = "512MB"  # of DuckDB, where no setting says another; Python needs 200 MB beside it
STATIC = ("site.css", "site.js", "zones.js", "search.js", "lineage.js")
LAYERS = (
    ("marts", "Marts", "What people read: facts, dimensions and aggregates, all tested."),
    ("intermediate", "Intermediate", "Steps between the files and the marts."),
    ("staging", "Staging", "One model for each dataset, with one name and type for each column."),
    ("source", "Sources", "The published files, as they are read."),
)
WIDE = {
    "trips_by_month",
    "congestion_zone",
    "revenue_by_month",
    "parts_of_fares",
    "reconciliation",
    "base_reconciliation",
    "report_measures",
    "flagged_rows",
}


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
    packages.check_installed()
    if "duckdb_memory_limit" not in settings.model_fields_set:
        settings = settings.model_copy(update={"duckdb_memory_limit": MEMORY})
    out = out or settings.site_path
    if out is None:
        raise UsageError("MEDALLION_SITE_DIR is off; name a folder by medallion site --out.")
    # each takes seconds, the first time, and neither needs the other
    with ThreadPoolExecutor(1) as beside:
        bundling = beside.submit(packages.script, settings)
        lineage = read_lineage(settings)
        script = bundling.result()
    with reading(settings, say=say) as (engine, session), engine.snapshot(session):
        there = {name for schema, name in tables(session) if schema == "marts"}
        if not set(NEEDED) <= there:
            raise MedallionError(
                f"The marts are not built yet. Build them with: {settings.run_command}"
            )
        with folder.swapped(out) as new:
            new.assets.joinpath("vega.js").write_text(script, "utf-8")
            for name in STATIC:
                new.add_static(name)
            site = Site(settings, engine, session, new, lineage)
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

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        session: Session,
        new: folder.NewFolder,
        lineage: Lineage,
    ):
        self._settings = settings
        self._engine = engine
        self._session = session
        self._new = new
        self._lineage = lineage
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
        self._write_trust()
        self._write_data()
        self._write_lineage()

    def _write_trust(self) -> None:
        ledger, single = self.ask("ledger").records(), self.ask("ledger_single_files").records()
        seen = {f"{schema}.{name}" for schema, name in tables(self._session)}
        has_files = "raw.files" in seen
        has_facts = {"marts.fct_trips", "intermediate.int_trip_months"} <= seen and has_files
        flagged = self.ask("flagged_rows").records()
        self._page(
            "trust",
            "trust.html",
            "trust",
            also=("ledger",),
            tiles=self._trust_tiles(),
            answer=self._answer(),
            outside=self._outside,
            balances=trust.balances(ledger) + trust.single_balances(single),
            missing=trust.missing([*ledger, *single]),
            ledger_figure=self._told("ledger"),
            examples=trust.examples(
                self._engine, self._session, flagged, self._settings.run_command
            )
            if has_facts
            else [],
            examples_figure=self._told("flagged_example"),
            versions=trust.versions(self.ask("versions").records()) if has_files else [],
            versions_figure=self._told("versions"),
            builds=[
                {
                    "id": str(b["invocation_id"])[:8],
                    "ended": trust.moment(b["completed_at"]),
                    "command": b["command"],
                    "succeeded": b["succeeded"],
                }
                for b in self._builds
            ],
            builds_figure=self._told("builds"),
        )

    def _write_data(self) -> None:
        pages = self.ask("documents") if self._has("document_pages") else None
        write_data(
            self._new.assets / "data" / "documents.js",
            "documents",
            [[plain(value) for value in row[:4]] for row in (pages.rows if pages else ())],
        )
        documents: dict[tuple[str, str], dict[str, Any]] = {}
        for source, name, page, _, reason in pages.rows if pages else ():
            own = documents.setdefault(
                (source, name), {"source": source, "name": name, "pages": 0, "reason": reason}
            )
            own["pages"] += page > 0
        relations = sorted(self._lineage.relations.values(), key=lambda r: r.name)
        layers = [
            {
                "id": f"layer-{layer}",
                "title": title,
                "words": words,
                "relations": [r for r in relations if layer in (r.kind, r.schema)],
            }
            for layer, title, words in LAYERS
        ]
        self._page(
            "data",
            "data.html",
            "data",
            layers=layers,
            documents=list(documents.values()),
            documents_sql=query("documents"),
        )

    def _write_lineage(self) -> None:
        lineage = self._lineage
        write_data(
            self._new.assets / "data" / "lineage.js",
            "lineage",
            {
                "relations": {
                    r.name: {
                        "kind": r.kind,
                        "description": r.description,
                        "parents": r.parents,
                        "tests": r.tests,
                        "columns": [[c.name, c.type, c.description, c.tests] for c in r.columns],
                    }
                    for r in lineage.relations.values()
                },
                "origins": lineage.origins,
                "exposures": [
                    {"name": e.name, "label": e.label, "parents": e.parents}
                    for e in lineage.exposures
                ],
            },
        )
        marts = [name for name in lineage.columns() if name.startswith("marts.")]
        unresolved = len(set(marts) & set(lineage.unresolved))
        resolved = sum(bool(lineage.origins.get(name)) for name in marts)
        self._page(
            "lineage",
            "lineage.html",
            "lineage",
            spec={"graph": charts.graph()},
            all_columns=len(marts),
            resolved=resolved,
            unresolved=unresolved,
            constants=len(marts) - resolved - unresolved,
        )

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
        last = next((b for b in self._builds if b["succeeded"]), None)
        if isinstance(self._engine, PublishedDuckDb):
            label = f"publication {self._engine.publication.id}"
        else:
            label = "the warehouse"  # its address is nobody's business
        run = (
            f"Run {str(last['invocation_id'])[:8]}, {trust.moment(last['completed_at'])}"
            if last
            else "The run is not known to this account"
        )
        return {"label": label, "run": run}

    @cached_property
    def _builds(self) -> list[dict[str, Any]]:
        """The last runs of dbt; none where this account may not see them."""
        return self.ask("builds").records() if self._has("dbt_invocations") else []

    @cached_property
    def _compared(self) -> Counter[str]:
        """How many months have each status beside the monthly report."""
        return Counter(row["status"] for row in self.ask("reconciliation").records())

    @property
    def _outside(self) -> int:
        return self._compared["out_of_tolerance"]

    @property
    def _assessed(self) -> int:
        """The months that could be compared: the report has them, and a tolerance is known."""
        return sum(self._compared[status] for status in ASSESSED)

    def _answer(self) -> str:
        """The verdict in one or two sentences."""
        ledger = self.ledger
        balance = (
            "Every row of every file is in the facts."
            if ledger["is_balanced"]
            else "The ledger does not balance: do not use these numbers."
        )
        missing = (
            f" {ledger['missing']} files are missing; they are named below."
            if ledger["missing"]
            else ""
        )
        if not self._assessed:
            return f"{balance}{missing} No month could be compared with a report."
        beside = (
            f"{self._outside} of {self._assessed} months differ from the city's own report by more"
            " than the tolerance."
            if self._outside
            else f"All {self._assessed} months that could be compared with the city's own report"
            " are within the tolerance, or their difference is known."
        )
        others = self._compared.total() - self._assessed
        apart = f" {others} could not be compared." if others else ""
        return f"{balance}{missing} {beside}{apart}"

    def _told(self, name: str) -> dict[str, str]:
        """What a figure that is no picture says of its months, versions, run and query."""
        return {"from": self._from_line(None), "sql": query(name)}

    def _has(self, name: str) -> bool:
        return name in {table for _, table in tables(self._session)}

    def _page(
        self, name: str, template: str, group: str, also: Sequence[str] = (), **more: Any
    ) -> None:
        own = figures().get(group, ())
        data = {
            asked: as_rows(result.columns, result.rows)
            for asked in (*(figure.query for figure in own), *also)
            for result in [self.ask(asked)]
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
            "run": self.source["run"],
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
                made_at=trust.moment(datetime.now(UTC)),
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
        span = (
            f"Months {min(held):%Y-%m} to {max(held):%Y-%m}"
            if min(held) < max(held)
            else f"Month {held[0]:%Y-%m}"
        )
        versions = "1 file version" if len(ledger) == 1 else f"{len(ledger)} file versions"
        return f"{span}, {versions}. {self.source['run']}."

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
        return [
            _tile("Rows in the files", ledger["file_rows"], f"{ledger['files']} files"),
            _tile("Valid rows", ledger["valid_rows"]),
            _tile("Flagged rows", ledger["invalid_rows"], "kept, with a reason"),
            _tile("Months out of tolerance", self._outside, f"of {self._assessed} compared"),
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
