"""``medallion transform``, and a file with every statement that dbt sent to PostgreSQL.

    python -m tests.benchmarks.postgres_recorder FILE

It is taken where psycopg2 sends it: with its values in it, and with the begin, commit and rollback
that psycopg2 sends by itself. The file holds a list of transactions in JSON, in the order in which
they ended, so that one session that runs them in turn finds in each what dbt's connections found:
all that had been committed. Each has the seconds on the clock when it was begun and when it ended.
"""

import json
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.extensions import STATUS_READY, TRANSACTION_STATUS_IDLE
from psycopg2.extensions import connection as Connection  # noqa: N812
from psycopg2.extensions import cursor as Cursor  # noqa: N812


@dataclass
class Transaction:
    """What one connection sent until it was in no transaction any more."""

    begun: float
    statements: list[str] = field(default_factory=list)
    ended: float = 0.0


class RecordingConnection(Connection):
    """A connection that writes down what it sends."""

    done: "list[Transaction]" = []  # noqa: RUF012 - of all connections

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._open: Transaction | None = None

    def sends(self, statement: str) -> None:
        """Put a statement at the end of the transaction that is open."""
        self._open = self._open or Transaction(time.time())
        self._open.statements.append(statement)

    def was_answered(self) -> None:
        """See whether the transaction has ended with the last statement."""
        if self._open and self.get_transaction_status() == TRANSACTION_STATUS_IDLE:
            self._open.ended = time.time()
            self.done.append(self._open)
            self._open = None

    def cursor(self, *args: Any, **kwargs: Any) -> Any:
        """A cursor that tells its connection what it sends."""
        return super().cursor(*args, **{"cursor_factory": RecordingCursor} | kwargs)

    def commit(self) -> None:
        """Commit, if psycopg2 thinks that there is a transaction."""
        if self.status != STATUS_READY:
            self.sends("commit")
        super().commit()
        self.was_answered()

    def rollback(self) -> None:
        """Roll back, if psycopg2 thinks that there is a transaction."""
        if self.status != STATUS_READY:
            self.sends("rollback")
        super().rollback()
        self.was_answered()

    def close(self) -> None:
        """Close, which rolls back what is open."""
        if self._open:
            self.rollback()
        super().close()


class RecordingCursor(Cursor):
    """A cursor that tells its connection what it sends."""

    connection: RecordingConnection

    def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002 - psycopg2's name
        """Execute, and write down the statement as the server got it."""
        if not self.connection.autocommit and self.connection.status == STATUS_READY:
            self.connection.sends("begin")
        self.connection.sends(self.mogrify(query, vars).decode())
        super().execute(query, vars)
        self.connection.was_answered()


def main() -> None:
    """Transform, and write the file."""
    connect = psycopg2.connect

    def recording_connect(*args: Any, **kwargs: Any) -> Connection:
        if kwargs.get("application_name") == "dbt":
            kwargs["connection_factory"] = RecordingConnection
        return connect(*args, **kwargs)

    psycopg2.connect = recording_connect
    from ingestion.settings import load_settings
    from orchestration.job.transform import transform

    transform(load_settings())
    transactions = sorted(RecordingConnection.done, key=lambda t: t.ended)
    Path(sys.argv[1]).write_text(json.dumps([asdict(t) for t in transactions]))


if __name__ == "__main__":
    main()
