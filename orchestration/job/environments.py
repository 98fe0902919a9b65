"""Environments: separate warehouses over the same lake, in which changes are tried.

An environment begins as a copy of the main warehouse, or empty. ``promote`` puts it in the place of
the main warehouse, without building anything again.
"""

import shutil
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from ingestion.errors import MedallionError, UsageError
from ingestion.lake.catalog import Catalog
from ingestion.progress import Quiet
from ingestion.publications import storage
from ingestion.publications.manifest import Publication
from ingestion.publications.read import current
from ingestion.publications.write import check_owner, take_over
from ingestion.settings import Settings
from ingestion.warehouse import connect, engine_for
from ingestion.warehouse.base import FILES_TABLE, Session, no_environment, tables
from ingestion.warehouse.environments import environments_of
from orchestration.job import run_files
from orchestration.job.audit import audit
from orchestration.job.publish import UntestedError, tested_publication
from orchestration.job.under_way import only_run, reported

SHOWN = 5  # of the file versions that an environment lacks


@dataclass(frozen=True)
class Environment:
    """One environment; ``built_at`` is None if nothing was built yet, or a run is under way."""

    name: str
    warehouse: str
    bytes: int
    built_at: datetime | None
    publication: str | None


@dataclass(frozen=True)
class Promotion:
    """A promotion: which environment's warehouse and publication readers see now.

    ``before`` is the publication that they saw until then.
    """

    environment: str
    warehouse: str
    publication: str | None
    before: str | None


def listed(main: Settings) -> list[Environment]:
    """Every environment of the main warehouse, by name."""
    found = []
    for name, size in environments_of(main).sizes().items():
        settings = main.in_environment(name)
        published = current(settings)
        found.append(
            Environment(
                name,
                engine_for(settings).label,
                size,
                _built_at(settings),
                published.id if published else None,
            )
        )
    return found


def check_known(main: Settings, name: str) -> Settings:
    """The settings of an environment; raise ``UsageError`` if there is none of that name."""
    settings = main.in_environment(name)
    if not engine_for(settings).exists():
        raise no_environment(name)
    return settings


def create(main: Settings, name: str, empty: bool = False) -> Environment:
    """Make an environment: empty, or a copy of the main warehouse and its publication.

    Raises ``UsageError`` if it exists already.
    """
    settings = main.in_environment(name)
    engine = engine_for(settings)
    if engine.exists():
        raise UsageError(f"There is an environment {name} already; medallion env drop drops it.")
    _drop_publications(settings)  # left over if an earlier drop was killed half-way
    environments_of(main).create(settings, empty)
    published = None if empty else current(main)
    if published and settings.publications_url:
        # so that the environment publishes again only what it builds anew
        origin = replace(published.origin, warehouse=engine.label, run=f"env create {name}")
        published = take_over(settings, main, published, origin)
    (made,) = (e for e in listed(main) if e.name == name)
    return made


def drop(main: Settings, name: str) -> None:
    """Delete an environment: its warehouse, its publications and the records of its runs."""
    settings = check_known(main, name)
    environments_of(main).drop(settings)
    _drop_publications(settings)
    for path in (run_files.record_file(settings), run_files.under_way_file(settings)):
        with suppress(OSError):
            path.unlink(missing_ok=True)


def promote(main: Settings, name: str) -> Promotion:
    """Put an environment in the place of what readers see; nothing is built again.

    First its warehouse takes the place of the main warehouse, then its publication that of the main
    publication. Each of the two steps is atomic. If this is killed between them, the next call does
    the rest. Raises ``UntestedError`` if the environment's last build failed, its ledger does not
    balance, its present state is not published, or it lacks months of the main warehouse. Raises
    ``UsageError`` if another warehouse publishes at the address of the main one.
    """
    settings = check_known(main, name)
    with ExitStack() as locks:
        for held in (main, settings):  # in one order, so that two promotes cannot block each other
            locks.enter_context(only_run(held))
        this = locks.enter_context(reported(main, f"promote {name}"))
        this.begin("audit")
        published = tested_publication(settings, audit(settings))
        if lost := lacking(main, settings):
            more = f" and {len(lost) - SHOWN} more" if len(lost) > SHOWN else ""
            raise UntestedError(
                f"The environment {name} lacks what people see:"
                f" {', '.join(lost[:SHOWN])}{more}. {settings.run_command} loads and builds it."
            )
        before = current(main)
        if main.publications_url:  # before the warehouse is replaced, which cannot be taken back
            check_owner(storage.open_publications(main), before, engine_for(main).label)
        this.begin("promote")
        environments_of(main).take_place(settings)
        made = _publish(main, settings, published, name) if published else None
    label = engine_for(main).label
    return Promotion(name, label, made.id if made else None, before.id if before else None)


def _publish(main: Settings, settings: Settings, published: Publication, name: str) -> Publication:
    label = engine_for(main).label
    origin = replace(published.origin, warehouse=label, run=f"promote {name}")
    return take_over(main, settings, published, origin)


def lacking(main: Settings, settings: Settings) -> list[str]:
    """The versions that readers of the main warehouse would lose, by the name of their table.

    The environment never loaded them, and shows nothing that was landed after them.
    """
    if not engine_for(main).exists():
        return []
    with connect(main, read_only=True) as session:
        seen = _versions(session, "is_current and status = 'loaded'")
    with connect(settings, read_only=True) as session:
        held = {table for table, _ in _versions(session, "loaded_at is not null")}
        refused = {table for table, _ in _versions(session, "loaded_at is null")}
        in_use = {of: table for table, of in _versions(session, "is_current")}
    absent = [(table, of) for table, of in seen if table not in held]
    if not absent:
        return []
    catalog = Catalog(main.lake_url)
    # by the last landing: a content that was published again replaces what came between
    landed = {landing.table_name: landing.landed_at for landing in catalog.landings}
    trusted = {v.table_name for versions in catalog.trusted().values() for v in versions}

    def is_lost(table: str, of: tuple[Any, ...]) -> bool:
        if table not in landed:  # the lake has lost its record: nobody can load it again
            return True
        if table in refused and table not in trusted:  # no run would show it any more
            return False
        # a version that a later one has replaced may have been pruned there
        shown = landed.get(in_use.get(of, ""))
        return shown is None or shown < landed[table]

    return sorted(table for table, of in absent if is_lost(table, of))


def _versions(session: Session, condition: str) -> list[tuple[str, tuple[Any, ...]]]:
    """The table of each file version, and its dataset and month."""
    if ("raw", FILES_TABLE) not in tables(session):
        return []
    found = session.query(
        f"select table_name, dataset, month from raw.{FILES_TABLE} where {condition}"
    )
    return [(table, (dataset, month)) for table, dataset, month in found.rows]


def _built_at(settings: Settings) -> datetime | None:
    with suppress(MedallionError), connect(settings, read_only=True) as session:
        ((built_at,),) = session.query(
            "select max(completed_at) from intermediate.dbt_invocations"
        ).rows
        return built_at if isinstance(built_at, datetime) else None
    return None


def _drop_publications(settings: Settings) -> None:
    if settings.publications_url is None:
        return
    store = storage.open_publications(settings)
    with storage.turn(settings, Quiet()):
        # the manifests go first, by which readers find the files
        for name in sorted(store.names(""), key=lambda name: name.endswith(".parquet")):
            store.delete(name)
    if store.is_local:
        shutil.rmtree(store.root, ignore_errors=True)  # empty folders
