"""A session of Spark: our own statements are written for DuckDB, and translated by sqlglot."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ingestion.errors import WarehouseError
from ingestion.warehouse.base import FILES_TABLE, Most, Result
from ingestion.warehouse.spark.files import FilesTable
from ingestion.warehouse.spark.guard import check_that_it_reads
from ingestion.warehouse.spark.statements import Statements

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlglot.expressions import Expr


class SparkSession(Statements):
    """An open session of a Thrift server.

    ``schemas`` are those of the warehouse; the metastore has them with ``prefix`` before the name.
    ``turn`` keeps the transactions of other processes out for a ``with`` block.
    """

    def __init__(
        self,
        connection: Any,
        schemas: Sequence[str],
        prefix: str,
        lake_url: str,
        label: str,
        turn: Callable[[], AbstractContextManager[None]],
    ):
        super().__init__(connection, schemas, prefix)
        self._turn = turn
        self.files = FilesTable(self, lake_url, label)

    def query(self, sql: str, parameters: Sequence[Any] = (), /) -> Result:
        """Run one statement and fetch its result."""
        statement = _parsed(sql)
        if _only_files(statement):
            return self.files.local.query(sql, parameters)
        return self.fetch(self._in_spark(statement, parameters))

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> None:
        """Run a statement that gives no result."""
        statement = _parsed(sql)
        if _only_files(statement):
            self.files.change(sql, parameters)
        else:
            self.run(self._in_spark(statement, parameters))

    def execute_patiently(self, sql: str, _relation: str, /) -> None:
        """Run a statement: no reader keeps it waiting."""
        self.execute(sql)

    def read(self, sql: str, /) -> Result:
        """Run a user's query: one statement, which gives rows and cannot write."""
        return self.fetch(self._that_reads(sql))

    def read_first(self, sql: str, most: Most, /) -> Result:
        """Like ``read``, but fetches no more than ``most``; the result says whether it is cut."""
        return self.first(self._that_reads(sql), most)

    def done_percent(self) -> float | None:
        """None: a session that waits for its answer cannot be asked."""
        return None

    def arrow(self, sql: str, /) -> "pa.RecordBatchReader":
        """Like ``read``, in batches."""
        return self.batches(self._that_reads(sql))

    def hides(self, _schema: str, _relation: str, /) -> bool:
        """False: Spark's own catalog shows everything to everybody."""
        return False

    def wait_for_turn(self, _what: str, /) -> None:
        """Do nothing: a transaction keeps all others out."""

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit the changes of ``raw.files`` at the end of a ``with`` block, or drop them.

        It waits for the transactions of others. All but ``raw.files`` changes at once, so it must
        be safe to repeat.
        """
        with self._turn():
            self.files.read_anew()
            try:
                yield
                self.files.commit()
            finally:
                self.files.read_anew()

    def _that_reads(self, sql: str) -> str:
        check_that_it_reads(sql)
        # no file by its path
        self.run("set spark.sql.runSQLOnFiles=false")
        return self.in_spark(sql, "spark") if self.prefix else sql.strip().rstrip(";")

    def in_spark(self, sql: str, dialect: str = "duckdb") -> str:
        """A query in Spark's own words, with the schemas as the metastore names them."""
        import sqlglot

        return str(self._named(sqlglot.parse_one(sql, read=dialect)).sql(dialect="spark"))

    def _named(self, statement: "Expr") -> "Expr":
        from sqlglot import exp

        for table in statement.find_all(exp.Table):
            if self.prefix and table.db in self.schemas:
                table.set("db", exp.to_identifier(f"{self.prefix}{table.db}", quoted=True))
        return statement

    def _in_spark(self, statement: "Expr", parameters: Sequence[Any]) -> str:
        """The statement in Spark's words, with its parameters in their places."""
        from sqlglot import exp

        values = iter(parameters)
        bound = self._named(statement).transform(
            lambda node: _literal(next(values)) if isinstance(node, exp.Placeholder) else node
        )
        return str(bound.sql(dialect="spark"))


def _parsed(sql: str) -> "Expr":
    import sqlglot
    from sqlglot.errors import SqlglotError

    try:
        return sqlglot.parse_one(sql, read="duckdb")
    except SqlglotError as exc:
        raise WarehouseError(f"the statement cannot be read: {' '.join(str(exc).split())}") from exc


def _only_files(statement: "Expr") -> bool:
    """Whether a statement reads or changes ``raw.files`` and nothing else."""
    from sqlglot import exp

    tables = list(statement.find_all(exp.Table))
    return bool(tables) and all((t.db, t.name) == ("raw", FILES_TABLE) for t in tables)


def _literal(value: Any) -> "Expr":
    from sqlglot import exp

    if isinstance(value, datetime):
        assert value.tzinfo, "a time with a zone"
        moment = exp.Literal.string(f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}")
        return exp.cast(moment, "timestamptz")
    if isinstance(value, date):
        return exp.cast(exp.Literal.string(str(value)), "date")
    if isinstance(value, Decimal):
        return exp.Literal.number(str(value))
    return exp.convert(value)
