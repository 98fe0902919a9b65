"""The manifest of a publication: what it holds, and what it was made from."""

import json
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ingestion.errors import MedallionError, first_line

# Raise it when an earlier release would read a manifest wrongly.
FORMAT = 1


@dataclass(frozen=True)
class Part:
    """One Parquet file of a table; ``path`` is relative to the publications' address.

    ``key`` says what the file was built from. It is empty for a table that is one file.
    """

    path: str
    rows: int
    bytes: int
    sha256: str
    key: str = ""
    service: str | None = None
    source_month: date | None = None


@dataclass(frozen=True)
class Table:
    """One published table, under the name that it has in the warehouse."""

    schema: str
    name: str
    parts: tuple[Part, ...]

    @property
    def rows(self) -> int:
        """The rows of all its files."""
        return sum(part.rows for part in self.parts)


@dataclass(frozen=True)
class Origin:
    """What a publication was made from.

    ``versions`` are the sha256 of the file versions in the facts, by dataset and month. ``ledger``
    is the verdict of the audit. ``metrics`` are what the stages of the run took, in seconds, and
    the files, rows and bytes that it landed and loaded; ``file_seconds`` is what each of its files
    took, by stage and name. ``state`` changes with anything that would be published.
    """

    warehouse: str
    run: str
    project_version: str
    state: str
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    ledger: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    file_seconds: dict[str, dict[str, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Publication:
    """One tested state of the marts.

    ``restores`` is the publication that a rollback published again, ``hides`` the one that it took
    out of sight, and ``hidden_state`` the state of that one. ``url`` is the address in the views,
    and ``views_sha256`` the digest of the file of views.
    """

    id: str
    sequence: int
    created_at: datetime
    origin: Origin
    tables: tuple[Table, ...]
    restores: str | None = None
    hides: str | None = None
    hidden_state: str | None = None
    url: str = ""
    views_sha256: str = ""
    format: int = FORMAT

    @property
    def parts(self) -> dict[str, Part]:
        """All its files by path."""
        return {part.path: part for table in self.tables for part in table.parts}

    def table(self, schema: str, name: str) -> Table | None:
        """One of its tables; None if it has no such table."""
        return next((t for t in self.tables if (t.schema, t.name) == (schema, name)), None)


_ADAPTER = TypeAdapter(Publication)


def to_json(publication: Publication) -> bytes:
    """The manifest as it is stored."""
    return _ADAPTER.dump_json(publication, indent=1)


def from_json(content: bytes, address: str) -> Publication:
    """Read a manifest; raises ``MedallionError``, which names its ``address``."""
    try:
        said = json.loads(content)
        written_as = said.get("format", FORMAT) if isinstance(said, dict) else FORMAT
        if isinstance(written_as, int) and written_as > FORMAT:
            raise MedallionError(
                f"{address} was written by a later release of Medallion. Install that release."
            )
        return _ADAPTER.validate_json(content)
    except ValidationError as exc:
        reason = exc.errors()[0]["msg"]
    except ValueError as exc:
        reason = first_line(exc)
    raise MedallionError(
        f"{address} is no manifest of a publication, or a damaged one ({reason}). If it is of"
        " Medallion, delete it, and the next medallion run publishes the marts anew; if it is of"
        " somebody else, set MEDALLION_PUBLISH_URL to another place."
    )
