"""The same small nights on each kind of warehouse and lake, whose state can be restored."""

import pickle
import re
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from ingestion.lake.catalog import Catalog
from ingestion.lake.storage import store as lakes
from ingestion.lake.storage.store import open_lake
from ingestion.publications.read import PublishedDuckDb, current
from ingestion.publications.verify import verify
from ingestion.settings import Settings
from ingestion.warehouse import connect
from ingestion.warehouse.base import Session
from orchestration.job.publish import publish as publish_marts
from tests.conftest import settings_in
from tests.faults.kills import Undisturbed, compared, job, rows_of
from tests.support import postgres
from tests.support.stores import Store, fresh_environment
from tests.support.trips import ZONES, publish, trips

REPORT = b"Month/Year,License Class,Trips Per Day\n2023-01,Green,1\n2023-02,Green,1\n"
JANUARY, FEBRUARY, MARCH = (date(2023, month, 1) for month in (1, 2, 3))


def publish_before(folder: Path) -> None:
    """Publish the files of the day before: two months of green, one of yellow and of fhv."""
    publish(folder, "green", JANUARY, trips("green", JANUARY))
    publish(folder, "green", FEBRUARY, trips("green", FEBRUARY))
    publish(folder, "yellow", JANUARY, trips("yellow", JANUARY))
    publish(folder, "fhv", JANUARY, trips("fhv", JANUARY))
    publish(folder, "taxi_zone_lookup", None, ZONES)
    publish(folder, "tlc_monthly_report", None, REPORT)


def publish_news(folder: Path) -> None:
    """Publish one month again and one for the first time."""
    publish(folder, "green", FEBRUARY, trips("green", FEBRUARY, rows=25, seed=1))
    publish(folder, "green", MARCH, trips("green", MARCH))


@dataclass
class Job:
    """One warehouse and one lake, with a copy of their state after the first night."""

    settings: Settings
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def _folder(self) -> Path:
        return self.settings.work_dir.parent

    @property
    def _aside(self) -> Path:
        return self._folder.with_name(f"{self._folder.name}.aside")

    def keep_aside(self) -> None:
        """Copy the present lake, warehouse and work folder."""
        shutil.rmtree(self._aside, ignore_errors=True)
        shutil.copytree(self._folder, self._aside, copy_function=shutil.copy2)
        if self._in_bucket:
            self._copy_bucket(self.settings.lake_url, f"{self.settings.lake_url}.aside")
        if self.settings.target == "postgres":
            self._administer(f"create database {self._database}_aside template {self._database}")

    def put_back(self) -> None:
        """Restore lake, warehouse and work folder from that copy."""
        shutil.rmtree(self._folder)
        shutil.copytree(self._aside, self._folder, copy_function=shutil.copy2)
        if self._in_bucket:
            self._empty_bucket()
            self._copy_bucket(f"{self.settings.lake_url}.aside", self.settings.lake_url)
        if self.settings.target == "postgres":
            self._administer(f"drop database {self._database} with (force)")
            self._administer(f"create database {self._database} template {self._database}_aside")

    def clear(self) -> None:
        """Empty lake, warehouse and work folder."""
        shutil.rmtree(self._folder)
        self._folder.mkdir()
        if self._in_bucket:
            self._empty_bucket()
        if self.settings.target == "postgres":
            self._administer(f"drop database {self._database} with (force)")
            self._administer(f"create database {self._database}")

    def marts(self) -> dict[str, Counter[Any]]:
        """The rows of every mart, and how often each is there."""
        with self._variables(), connect(self.settings, read_only=True) as session:
            return _marts_in(session)

    def published(self) -> dict[str, Counter[Any]]:
        """The rows of every mart that readers see, and how often each is there."""
        publication = current(self.settings)
        assert publication
        with PublishedDuckDb(self.settings, publication).session(read_only=True) as session:
            return _marts_in(session)

    def left(self) -> dict[str, Counter[str]]:
        """The names of all that is in warehouse, lake and work folder; a killed run adds nothing.

        The digits at the end of a partition's name are removed: each build draws new ones.
        """
        with self._variables():
            with connect(self.settings, read_only=True) as session:
                tables = session.query(
                    "select table_schema || '.' || table_name from information_schema.tables"
                    " where table_schema in ('raw', 'tlc', 'staging', 'intermediate', 'marts')"
                ).rows
            objects = open_lake(self.settings).names("")
            records = Counter(landing.name for landing in Catalog(self.settings.lake_url).landings)
        work = self.settings.work_dir
        scratch = [p for d in (work / "spool", work / "dlt") if d.exists() for p in d.iterdir()]
        return {
            "tables": Counter(re.sub(r"(?<!_)_[0-9a-f]{8}$", "", name) for (name,) in tables),
            "objects": Counter(name for name in objects if not name.endswith(".json")),
            "records": records,
            "scratch": Counter(map(str, scratch)),
        }

    @property
    def _in_bucket(self) -> bool:
        return not self.settings.lake_url.startswith("file:")

    @property
    def _database(self) -> str:
        return self.environment["PGDATABASE"]

    def _administer(self, statement: str) -> None:
        with postgres.administering(dict(self.environment)) as cursor:
            cursor.execute(statement)

    def _empty_bucket(self) -> None:
        store = lakes.Store(self.settings.lake_url)
        for name in store.names(""):
            store.fs.rm_file(store.path(name))

    def _copy_bucket(self, source: str, target: str) -> None:
        there, here = lakes.Store(source), lakes.Store(target)
        for name in there.names(""):
            here.fs.pipe_file(here.path(name), there.fs.cat_file(there.path(name)))

    @contextmanager
    def _variables(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.environment.items():
                patch.setenv(name, value)
            yield


def _marts_in(session: Session) -> dict[str, Counter[Any]]:
    columns: dict[str, list[str]] = {}
    for mart, column in session.query(
        "select table_name, column_name from information_schema.columns"
        " where table_schema = 'marts' order by table_name, column_name"
    ).rows:
        columns.setdefault(mart, []).append(column)
    return {
        mart: rows_of(session.query(f"select {', '.join(names)} from marts.{mart}").rows)
        for mart, names in columns.items()
    }


@dataclass(frozen=True)
class Night:
    """A job after its first night, with news published, and the result of an undisturbed run."""

    job: Job
    undisturbed: Undisturbed
    marts: dict[str, Counter[Any]]
    left: dict[str, Counter[str]]

    def is_done(self) -> tuple[dict[str, int], float]:
        """Run the job again; return the rows then lost, doubled and wrong, and the seconds."""
        begun = time.monotonic()
        job(self.job.settings, self.job.environment)
        seconds = time.monotonic() - begun
        counts = compared(self.marts, self.job.marts())
        if self.job.settings.publications_url:
            counts["wrong"] += sum(file.error is not None for file in verify(self.job.settings))
            counts["wrong"] += self.job.published() != self.job.marts()
        return counts, seconds


@contextmanager
def night_of(
    folder: Path, store: Store, server: Mapping[str, str] | None, **values: Any
) -> Iterator[Night]:
    """A warehouse and a lake after one night, in a folder, or in a store and on a server."""
    published = folder / "published"
    publish_before(published)
    (folder / "job").mkdir()
    with ExitStack() as stack:
        environment = dict(store.environment)
        if server:
            environment |= stack.enter_context(postgres.database(dict(server)))
        stack.enter_context(fresh_environment(store.environment))
        if store.kind != "file":
            values |= {"lake_url": store.new_lake()}
        settings = settings_in(folder / "job", tlc_url=published.as_uri(), **values)
        made = Job(settings, environment)
        job(settings, environment)
        made.keep_aside()
        publish_news(published)
        undisturbed = job(settings, environment)
        yield Night(made, undisturbed, made.marts(), made.left())


def copy_of(
    made: Path, folder: Path, warehouse: str = "warehouse.duckdb", *, publishes: bool = False
) -> Night:
    """A night on DuckDB over a folder, with the state of one that ``keep_night`` has left.

    ``warehouse`` is the path of its file in the job's folder. If it ``publishes`` its marts, as the
    kept night did, those of the first night are published.
    """
    undisturbed, marts, left = pickle.loads((made / "night.pickle").read_bytes())
    aside = folder / "job.aside"
    shutil.copytree(made / "job.aside", aside, copy_function=shutil.copy2)
    (aside / warehouse).parent.mkdir(exist_ok=True)
    (aside / "warehouse.duckdb").rename(aside / warehouse)
    # a publication belongs to the warehouse at the path that it is from
    shutil.rmtree(aside / "gold")
    (folder / "job").mkdir()
    settings = settings_in(
        folder / "job",
        tlc_url=(made / "published").as_uri(),
        duckdb_path=folder / "job" / warehouse,
        **({"publish_url": _publications(folder)} if publishes else {}),
    )
    copied = Job(settings)
    if publishes:
        copied.put_back()
        publish_marts(settings)
        copied.keep_aside()
    return Night(copied, undisturbed, marts, left)


def keep_night(folder: Path, store: Store) -> None:
    """Make a night on DuckDB over a folder, for copies of it."""
    folder.mkdir()
    with night_of(folder, store, None, publish_url=_publications(folder)) as night:
        # the work folder of each copy has another path
        assert not night.left["scratch"]
        made = (night.undisturbed, night.marts, night.left)
        (folder / "night.pickle").write_bytes(pickle.dumps(made))


def _publications(folder: Path) -> str:
    return str(folder / "job" / "gold")
