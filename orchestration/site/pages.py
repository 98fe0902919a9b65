"""The pages: each with its figures, its words and its data."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from ingestion.settings import Settings
from ingestion.warehouse.base import tables
from orchestration.job.lineage import Lineage
from orchestration.site import charts, folder, trust, zones
from orchestration.site.contents import Contents
from orchestration.site.data import as_rows, plain, write_data
from orchestration.site.figures import Figure, figures, query
from orchestration.site.render import render

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


class Pages:
    """The pages of one site, in the folder that is made for it."""

    def __init__(
        self, settings: Settings, contents: Contents, lineage: Lineage, new: folder.NewFolder
    ):
        self._settings = settings
        self._contents = contents
        self._lineage = lineage
        self._new = new

    def write(self) -> None:
        """Write every page with its data."""
        self._page("index", "figures.html", "trips", tiles=self._trip_tiles())
        zones.write_zones(self._contents.ask, self._new.assets / "data", self._contents.services)
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
            from_line=self._contents.from_line(None),
        )
        self._page("money", "figures.html", "money", tiles=self._money_tiles())
        self._write_trust()
        self._write_data()
        self._write_lineage()

    def _write_trust(self) -> None:
        ledger = self._contents.ask("ledger").records()
        single = self._contents.ask("ledger_single_files").records()
        seen = {f"{schema}.{name}" for schema, name in tables(self._contents.session)}
        has_files = "raw.files" in seen
        has_facts = {"marts.fct_trips", "intermediate.int_trip_months"} <= seen and has_files
        flagged = self._contents.ask("flagged_rows").records()
        self._page(
            "trust",
            "trust.html",
            "trust",
            also=("ledger",),
            tiles=self._trust_tiles(),
            answer=self._contents.verdict.words,
            outside=self._contents.verdict.outside,
            balances=trust.balances(ledger) + trust.single_balances(single),
            missing=trust.missing([*ledger, *single]),
            ledger_figure=self._contents.told("ledger"),
            examples=trust.examples(
                self._contents.engine, self._contents.session, flagged, self._settings.run_command
            )
            if has_facts
            else [],
            examples_figure=self._contents.told("flagged_example"),
            versions=trust.versions(self._contents.ask("versions").records()) if has_files else [],
            versions_figure=self._contents.told("versions"),
            builds=[
                {
                    "id": str(b["invocation_id"])[:8],
                    "ended": trust.moment(b["completed_at"]),
                    "command": b["command"],
                    "succeeded": b["succeeded"],
                }
                for b in self._contents.builds
            ],
            builds_figure=self._contents.told("builds"),
        )

    def _write_data(self) -> None:
        pages = self._contents.ask("documents") if self._contents.has("document_pages") else None
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

    def _page(
        self, name: str, template: str, group: str, also: Sequence[str] = (), **more: Any
    ) -> None:
        own = figures().get(group, ())
        data = {
            asked: as_rows(result.columns, result.rows)
            for asked in (*(figure.query for figure in own), *also)
            for result in [self._contents.ask(asked)]
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
            "run": self._contents.source["run"],
        }
        text = render(
            template,
            here=name,
            title=dict(PAGES)[name],
            lead=LEADS[name],
            pages=PAGES,
            page=page,
            assets=assets,
            is_sample=self._settings.variant.startswith("sample"),
            ledger=self._contents.verdict,
            source=self._contents.source,
            made_at=trust.moment(datetime.now(UTC)),
            figures=[self._figure(figure) for figure in own],
            services=[(s, _label(s)) for s in self._contents.services],
            **more,
        )
        self._new.add_page(f"{name}.html", text)

    def _figure(self, figure: Figure) -> dict[str, Any]:
        result = self._contents.ask(figure.query)
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
            "from": self._contents.from_line(result),
            "wide": figure.name in WIDE,
            "reasons": figure.chart.get("kind") == "heat",
        }

    def _trip_tiles(self) -> list[dict[str, Any]]:
        rows = self._contents.ask("trips_by_month").records()
        newest = max((row["month"] for row in rows), default=None)
        tiles = [_tile("Valid trips held", sum(row["trips"] for row in rows))]
        for service in self._contents.services:
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
        rows = self._contents.ask("revenue_by_month").records()
        fees = self._contents.ask("congestion_fees").records()
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
        verdict = self._contents.verdict
        return [
            _tile("Rows in the files", verdict.file_rows, f"{verdict.files} files"),
            _tile("Valid rows", verdict.valid_rows),
            _tile("Flagged rows", verdict.invalid_rows, "kept, with a reason"),
            _tile(
                "Months out of tolerance",
                verdict.outside,
                f"of {verdict.assessed} compared",
            ),
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
