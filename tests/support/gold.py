"""A small warehouse without dbt, and publications of it."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from ingestion.progress import Quiet
from ingestion.publications import storage
from ingestion.publications.manifest import Origin, Publication
from ingestion.publications.read import PublishedDuckDb, current
from ingestion.publications.write import Export, Interval, Published, publish
from ingestion.settings import Settings
from ingestion.warehouse import engine_for

JANUARY, FEBRUARY, MARCH = (date(2024, month, 1) for month in (1, 2, 3))
Months = Mapping[date, list[int]]  # the fares of a month's trips
BEFORE: Months = {JANUARY: [1, 2, 3], FEBRUARY: [4, 5]}
AFTER: Months = {JANUARY: [1, 2, 3], FEBRUARY: [4, 5, 6], MARCH: [7]}
ZONES = {1: "Newark Airport", 4: "Alphabet City"}


@dataclass(frozen=True)
class Gold:
    """A warehouse with one mart by the month and one that is a whole, and where it publishes."""

    settings: Settings
    zones: Mapping[int, str] = field(default_factory=lambda: ZONES)

    @property
    def url(self) -> str:
        url = self.settings.publications_url
        assert url
        return url

    @property
    def folder(self) -> Path:
        return Path(self.url.removeprefix("file://"))

    def build(self, months: Months) -> None:
        """Make both tables anew."""
        with engine_for(self.settings).session() as session:
            session.execute("create schema if not exists marts")
            session.execute(
                "create or replace table marts.trips"
                " (service varchar, source_month date, fare_usd decimal(10, 2))"
            )
            session.execute("create or replace table marts.zones (zone_id integer, zone varchar)")
            for month, fares in months.items():
                session.execute(
                    "insert into marts.trips select 'green', ?, unnest(?)", [month, fares]
                )
            for zone_id, zone in self.zones.items():
                session.execute("insert into marts.zones values (?, ?)", [zone_id, zone])

    def publish(
        self, months: Months, warehouse: str = "the small warehouse", built: str = ""
    ) -> Published:
        """Build these months, and publish them."""
        self.build(months)
        return self.publish_again(months, warehouse, built)

    def publish_again(
        self,
        months: Months,
        warehouse: str = "the small warehouse",
        built: str = "",
        *,
        changed: bool = False,
    ) -> Published:
        """Publish what is built; another ``built`` means that every month was built anew.

        ``changed`` means that somebody changes the warehouse while it is published.
        """
        intervals = tuple(
            Interval("green", month, _digest((fares, built)), len(fares))
            for month, fares in months.items()
        )
        exports = [
            Export("marts", "trips", ("service", "source_month", "fare_usd"), intervals),
            Export("marts", "zones", ("zone_id", "zone")),
        ]
        origin = Origin(warehouse, "test", "0", _digest((dict(months), dict(self.zones), built)))
        engine = engine_for(self.settings)
        with engine.session(read_only=True) as session:
            state = "another" if changed else origin.state
            return publish(self.settings, engine, session, exports, origin, lambda: state, Quiet())

    def shown(self, publication: Publication | None = None) -> Months:
        """The fares by month that readers see, now or in a publication."""
        found = publication or current(self.settings)
        assert found
        with PublishedDuckDb(self.settings, found).session(read_only=True) as session:
            rows = session.read(
                "select source_month, list(fare_usd::int order by fare_usd) from marts.trips"
                " group by 1 order by 1"
            ).rows
        return dict(rows)

    def files(self) -> set[str]:
        """The paths of all published Parquet files."""
        return {n for n in storage.open_publications(self.settings).names("") if "parquet" in n}


def _digest(value: object) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()
