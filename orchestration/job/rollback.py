"""Publish an earlier publication again, and report what readers then no longer see."""

from dataclasses import dataclass

from ingestion.errors import UsageError
from ingestion.progress import Quiet
from ingestion.publications.manifest import Part, Publication
from ingestion.publications.read import current, find
from ingestion.publications.write import restore
from ingestion.settings import Settings
from ingestion.warehouse import engine_for


@dataclass(frozen=True)
class Hidden:
    """One table that the rollback changes: its months that differ, and their rows.

    Readers see ``rows`` now; they saw ``hidden_rows`` before.
    """

    table: str
    months: list[str]
    rows: int
    hidden_rows: int


@dataclass(frozen=True)
class Rollback:
    """A rollback: the new publication, the one that it restores, and the one that it hides."""

    publication: str
    restores: str
    hides: str
    hidden: list[Hidden]


def rollback(settings: Settings, which: str) -> Rollback:
    """Publish one publication again, by its id or day.

    Raises ``UsageError`` if there is no such publication, or readers see it already.
    """
    wanted, before = find(settings, which), current(settings)
    if before is None:
        raise UsageError("Nothing is published, so nothing can be rolled back.")
    made = restore(settings, wanted, Quiet(), engine_for(settings).label)
    return Rollback(made.id, wanted.id, before.id, hidden_by(before, wanted))


def hidden_by(before: Publication, now: Publication) -> list[Hidden]:
    """The tables and months that differ between two publications, by the bytes of their files.

    Files of equal bytes may have different names: a month that was built anew has a new key.
    """
    hidden = []
    for schema, name in sorted({(t.schema, t.name) for p in (before, now) for t in p.tables}):
        if schema != "marts":
            continue
        was, is_now = (_parts(p, schema, name) for p in (before, now))
        differing = sorted(
            of
            for of in was.keys() | is_now.keys()
            if of not in was or of not in is_now or was[of].sha256 != is_now[of].sha256
        )
        if differing:
            rows, hidden_rows = (
                sum(parts[k].rows for k in differing if k in parts) for parts in (is_now, was)
            )
            months = [f"{service} {month}" for service, month in differing if service]
            hidden.append(Hidden(f"{schema}.{name}", months, rows, hidden_rows))
    return hidden


def _parts(publication: Publication, schema: str, name: str) -> dict[tuple[str, str], Part]:
    table = publication.table(schema, name)
    return {
        (part.service or "", f"{part.source_month:%Y-%m}" if part.source_month else ""): part
        for part in (table.parts if table else ())
    }
