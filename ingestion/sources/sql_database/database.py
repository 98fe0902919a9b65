"""The database of a source: its URL from the environment, its engine, and its errors in a line.

The URL may hold a password. It is never part of a message, a record or a cause of an error.
"""

import importlib
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ingestion.errors import FetchError, MedallionError, UsageError, first_line
from ingestion.sources.base import Source

if TYPE_CHECKING:
    from sqlalchemy import URL, Engine

# of libpq: a server that does not answer would hold a run for as long as the network likes
LIMITS = {
    "connect_timeout": "30",
    "keepalives_idle": "30",
    "keepalives_interval": "15",
    "keepalives_count": "4",
}
_FILES = ("sqlite", "duckdb")
_EXTRA = "pip install 'medallion[sql]'"
# how ADBC introduces what the server said
_INTRODUCTION = re.compile(
    r"^([A-Z_]+: )?(\[libpq\] )?((Failed|Execution|could not)[^:]*: )*((ERROR|FATAL): +)?"
)


@dataclass(frozen=True)
class Database:
    """A database that can be reached, by the URL of a source's environment variable."""

    variable: str
    url: "URL" = field(repr=False)

    @classmethod
    def of(cls, source: Source) -> "Database":
        """The database of a source; raises ``UsageError`` where its variable holds no URL."""
        import sqlalchemy as sa

        variable = source.options["credentials"]
        value = os.environ.get(variable, "").strip()
        if not value:
            raise UsageError(
                f"The source {source.name} is a database, and the environment variable {variable}"
                " is not set: put its SQLAlchemy URL there, as postgresql://user@host:5432/name."
            )
        try:
            return cls(variable, sa.make_url(value))
        except (sa.exc.ArgumentError, ValueError):  # its message may show the URL
            raise UsageError(
                f"{variable} holds no SQLAlchemy URL, as postgresql://user@host:5432/name. Write"
                " a character such as @ or / in a password as its %-code."
            ) from None

    @property
    def dialect(self) -> str:
        """The name of its SQL dialect, such as ``postgresql``."""
        return self.url.get_backend_name()

    def address(self, **query: str) -> str:
        """Its address without user, password and options, with this query."""
        import sqlalchemy as sa

        url, kept = self.url, sa.URL.create(self.dialect)
        kept = kept.set(host=url.host, port=url.port, database=url.database, query=query)
        return kept.render_as_string(hide_password=False)

    def engine(self) -> "Engine":
        """An engine that keeps no connection open; raises ``UsageError`` for a missing driver."""
        import sqlalchemy as sa

        try:
            if self.dialect == "postgresql":
                importlib.import_module("adbc_driver_postgresql")
            return sa.create_engine(self._given_to_driver, poolclass=sa.NullPool, **self._read_only)
        except (sa.exc.NoSuchModuleError, ImportError):
            raise UsageError(
                f"{self.variable}: the driver of {self.url.drivername}:// is not installed."
                f" PostgreSQL, SQLite and DuckDB come with {_EXTRA}; for another database install"
                " its SQLAlchemy driver."
            ) from None
        except (sa.exc.ArgumentError, TypeError, ValueError) as exc:
            raise UsageError(f"{self.variable}: {self.reason(exc)}.") from None

    @property
    def _given_to_driver(self) -> "URL":
        if self.dialect != "postgresql":
            return self.url
        # ADBC reads it, and psycopg2, which hands the same parameters to libpq, describes it
        url = self.url.set(drivername="postgresql+psycopg2")
        return url.set(query={**LIMITS, **url.query})

    @property
    def _read_only(self) -> Mapping[str, Any]:
        # several processes may read a DuckDB file at once, if none of them writes
        return {"connect_args": {"read_only": True}} if self.dialect == "duckdb" else {}

    def require_file(self) -> None:
        """Raise ``FetchError`` where a database in a file is gone: drivers would make a new one."""
        path = self.url.database
        if self.dialect not in _FILES or not path or path.startswith((":", "file:", "md:")):
            return
        if not Path(path).is_file():
            raise FetchError(f"there is no database {path}; {self.variable} names it")

    @contextmanager
    def one_line(self, before: str = "", after: str = "") -> Iterator[None]:
        """Raise ``FetchError`` with what a driver said, for an error of a ``with`` block."""
        try:
            yield
        except (MedallionError, MemoryError):
            raise
        except Exception as exc:  # each driver has exceptions of its own
            raise FetchError(f"{before}{self.reason(exc)}{after}") from None

    def reason(self, exc: BaseException) -> str:
        """What a driver said, in one line without a full stop and without a secret."""
        said = getattr(exc, "orig", None) or exc
        reason = _INTRODUCTION.sub("", " ".join(first_line(said).split()))
        for secret in self._secrets:
            reason = reason.replace(secret, "***")
        return reason.rstrip(".")

    @property
    def _secrets(self) -> set[str]:
        values = [str(self.url.password or "")]
        for name, value in self.url.query.items():
            if re.search("pass|secret|token|key", name, re.IGNORECASE):
                values += [value] if isinstance(value, str) else value
        return {form for value in values if value for form in (value, quote(value, safe=""))}
