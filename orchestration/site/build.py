"""Make the site: read what the pages need, write the pages, and replace the old site."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ingestion.errors import MedallionError, UsageError
from ingestion.settings import Settings
from ingestion.warehouse.base import tables
from orchestration.job.lineage import read_lineage
from orchestration.job.reading import reading
from orchestration.site import folder, packages
from orchestration.site.contents import Contents
from orchestration.site.pages import PAGES, Pages

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
MEMORY = "512MB"  # DuckDB's limit if no setting gives one; Python needs 200 MB more
STATIC = ("site.css", "site.js", "zones.js", "search.js", "lineage.js")


@dataclass(frozen=True)
class Built:
    """The site that was made: its folder, pages and size, and the seconds for it."""

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


class NoSiteError(UsageError):
    """No site is made from this warehouse; the message says from which one is."""


def build_site(
    settings: Settings,
    out: Path | None = None,
    say: Callable[[str], object] = lambda _: None,
) -> Built:
    """Make the site from what can be read now; replace the old site when the new one is complete.

    While a run is under way, the site is made from the publication. Raises ``MedallionError`` if
    the marts are not built, if the folder holds something else, or if the extra ``site`` is not
    installed, and ``NoSiteError`` for Spark: the queries of the figures are not in its words.
    """
    began = time.monotonic()
    if settings.target == "spark":
        raise NoSiteError("The site is made from DuckDB or PostgreSQL, not from Spark.")
    packages.check_installed()
    if "duckdb_memory_limit" not in settings.model_fields_set:
        settings = settings.model_copy(update={"duckdb_memory_limit": MEMORY})
    out = out or settings.site_path
    if out is None:
        raise UsageError("MEDALLION_SITE_DIR is off; name a folder with medallion site --out.")
    # the first time each takes seconds, and neither needs the other
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
            Pages(settings, Contents(engine, session), lineage, new).write()
    return Built(
        out,
        tuple(f"{name}.html" for name, _ in PAGES),
        new.files,
        new.bytes,
        time.monotonic() - began,
    )
