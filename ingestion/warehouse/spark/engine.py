"""Spark: the warehouse is tables of a cluster; the lake's files are read where they lie."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from ingestion.errors import MedallionError, UnreadableError, WarehouseBusyError
from ingestion.lake.catalog import FileVersion
from ingestion.lake.lease import lease_holder, leased, turn
from ingestion.lake.reading.convert import parquet_of, to_parquet
from ingestion.lake.storage.store import Store
from ingestion.locks import HeldError
from ingestion.progress import Quiet
from ingestion.schema_on_read import SPARK, Branch, Dialect, rows_sql
from ingestion.scratch import scratch_folder
from ingestion.settings import Settings
from ingestion.sources import registry
from ingestion.sources.base import Dataset
from ingestion.warehouse.base import no_environment
from ingestion.warehouse.spark import relations, requirements
from ingestion.warehouse.spark.connection import close, connect
from ingestion.warehouse.spark.session import SparkSession

if TYPE_CHECKING:
    from dlt.common.destination import Destination

BUILT = ("staging", "intermediate", "marts")  # by dbt


class Spark:
    """The warehouse on the Thrift server that the settings name.

    A variant of it, such as the sample's, has schemas of its own, whose names begin with its name.
    """

    dialect: Dialect = SPARK

    def __init__(self, settings: Settings):
        self._settings = settings
        self._lake_url = settings.lake_url
        self._prefix = schema_prefix(settings)
        self.schemas = ("raw", *registry.schemas(), *BUILT)
        where = f"{settings.spark_host}:{settings.spark_port}"
        self.label = f"the warehouse {settings.variant or 'of Spark'} at {where}"
        self._free: SimpleQueue[Any] = SimpleQueue()  # sessions for counting

    def as_of_copies(self) -> list[str]:
        """Commands that remove the warehouses beside this one that were built as of past days."""
        return []

    def exists(self) -> bool:
        """Whether the warehouse is there; raises ``UnreachableError`` where nobody answers."""
        connection = self._connect()
        try:
            return self._session(connection).files.is_there()
        finally:
            close(connection)

    @contextmanager
    def session(self, read_only: bool = False) -> Iterator[SparkSession]:
        """Open a session, in which every setting is in force that results depend on."""
        connection = self._connect()
        try:
            session = self._session(connection)
            requirements.refuse_lacking(session, self._settings.spark_format)
            there = session.files.is_there()
            if self._settings.is_environment and not there:
                raise no_environment(self._settings.environment)
            if read_only and not there:
                raise MedallionError(
                    f"There is no warehouse on Spark at {self._settings.spark_host} yet. Build it"
                    f" with: {self._settings.run_command}"
                )
            yield session
        finally:
            close(connection)
            while (free := self._borrowed()) is not None:
                close(free)

    def _connect(self) -> Any:
        return connect(self._settings, requirements.asked())

    def _session(self, connection: Any) -> SparkSession:
        return SparkSession(
            connection, self.schemas, self._prefix, self._lake_url, self.label, self._turn
        )

    def _turn(self) -> AbstractContextManager[None]:
        views = f"the read views of {self.label}"
        return turn(Store(self._lake_url), self._lock("publish"), views, Quiet())

    def _borrowed(self) -> Any:
        try:
            return self._free.get_nowait()
        except Empty:
            return None

    @contextmanager
    def only_run(self) -> Iterator[None]:
        """Keep other runs out by a lock in the lake; raise ``WarehouseBusyError``."""
        try:
            with leased(Store(self._lake_url), self._lock("run")):
                yield
        except HeldError as exc:
            raise WarehouseBusyError(
                f"Another run ({exc}) is under way on {self.label}; wait for it, or try later."
            ) from None

    def holder(self) -> str | None:
        """Who holds the lock of ``only_run``, and since when; None if nobody does."""
        return lease_holder(Store(self._lake_url), self._lock("run"))

    def _lock(self, name: str) -> str:
        return f"spark/{self._prefix}{name}.lock"

    def disk_bytes(self) -> int:
        """The bytes of the cluster that was started on this machine; of others nobody tells."""
        folder = self._settings.spark_dir / "warehouse"
        if not folder.is_dir():
            raise MedallionError("Spark does not tell what its tables take on disk.")
        return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())

    def check_owner(self) -> None:
        """Do nothing: Spark's tables have no owner that matters here."""

    def lacks(self, session: SparkSession, /) -> list[str]:
        """What a run would lack there: for each, one sentence that also says what to do."""
        return requirements.lacking(session, self._settings.spark_format)

    def prepare(self, session: SparkSession, /) -> None:
        """Create the schema raw, and one for each source, where they do not exist."""
        for schema in ("raw", *registry.schemas()):
            session.run(f"create schema if not exists {self._quoted(schema)}")

    def loads_at_once(self, _session: SparkSession, /) -> int:
        """One: nothing is loaded."""
        return 1

    def destination(self, _session: SparkSession, /) -> "Destination[Any, Any]":
        """There is none: nothing is loaded, as the lake is read in place."""
        raise AssertionError("Spark reads the lake in place")

    def environment(self) -> dict[str, str]:
        """The environment variables by which dbt's profile reaches the same warehouse."""
        given = self._settings
        password = given.spark_password
        return {
            "MEDALLION_SPARK_HOST": given.spark_host,
            "MEDALLION_SPARK_PORT": str(given.spark_port),
            "MEDALLION_SPARK_AUTH": given.spark_auth,
            "MEDALLION_SPARK_USER": given.spark_user,
            "MEDALLION_SPARK_PASSWORD": password.get_secret_value() if password else "",
            "MEDALLION_SPARK_KERBEROS_SERVICE": given.spark_kerberos_service,
            "MEDALLION_SPARK_THREADS": str(given.spark_threads),
            "MEDALLION_SPARK_FORMAT": given.spark_format,
            "MEDALLION_SPARK_SCHEMA_PREFIX": self._prefix,
            "MEDALLION_ENV": "",  # the prefix is the environment's already
        }

    def loaded_tables(self, session: SparkSession, /) -> set[str]:
        """The versions that the read views can show from this lake."""
        found = session.query("select table_name from raw.files where loaded_at is not null")
        return {name for (name,) in found.rows}

    def count_rows(self, _session: SparkSession, version: FileVersion, whole: bool, /) -> int:
        """Open the version's file and count its rows; raise ``WarehouseError`` where it cannot.

        Reads every value of the ``whole`` file, or only as much as the count needs.
        """
        if reason := relations.can_read(version.columns):
            raise UnreadableError(reason)
        if not version.lake_path.endswith(".parquet"):
            with scratch_folder(self._settings.dlt_dir) as scratch:
                to_parquet(Store(self._lake_url), version, Path(scratch))
        connection = self._borrowed() or self._connect()
        source = relations.path_sql(self._lake_url, [relations.file_of(version)])
        columns = relations.schema_sql(version.columns)
        what = "count(*), bit_xor(xxhash64(*))" if whole else "count(*)"
        try:
            session = self._session(connection)
            session.run(
                f"create or replace temporary view counted ({columns}) using parquet"
                f" options (path {source})"
            )
            rows = session.fetch(f"select {what} from counted").rows
        except BaseException:
            close(connection)
            raise
        self._free.put(connection)
        return int(rows[0][0])

    def show(self, _session: SparkSession, _version: FileVersion, /) -> None:
        """Do nothing: the read views read the files themselves."""

    def branches(self, versions: Sequence[FileVersion]) -> list[Branch]:
        """Read the files themselves, a few of the same columns at a time."""
        return list(relations.branches(self._lake_url, versions, f"{self._prefix}raw"))

    def replace_view(
        self, session: SparkSession, dataset: Dataset, branches: Sequence[Branch], comment: str, /
    ) -> None:
        """Replace the read view of a dataset by one over these versions, with a comment."""
        raw = self._quoted("raw")
        parts: list[str] = []
        wanted: set[str] = set()
        for branch in branches:
            assert isinstance(branch, relations.SparkBranch)
            source = relations.path_sql(self._lake_url, branch.files)
            # Hive cannot read a pattern or a single file. Without this option, Spark asks the
            # metastore whether it can: that makes a folder of the pattern's name in the lake, and
            # tries ten times before it refuses a file.
            session.run(
                f"create table if not exists {branch.relation}"
                f" ({relations.schema_sql(branch.columns)}) using parquet"
                f" options (path {source}, skipHiveMetadata 'true')"
            )
            rows = rows_sql(dataset, [branch], SPARK)
            digest = hashlib.sha256(rows.encode()).hexdigest()[:16]
            view = f"{dataset.name}_rows_{digest}"
            session.run(f"create or replace view {raw}.{SPARK.quote(view)} as {rows}")
            parts.append(f"select * from {raw}.{SPARK.quote(view)}")
            wanted |= {branch.table, view}
        rows = "\nunion all\n".join(parts) or rows_sql(dataset, [], SPARK)
        name = f"{self._quoted(dataset.source)}.{SPARK.quote(dataset.view)}"
        session.run(f"create or replace view {name} comment '{comment}' as\n{rows}")
        self._drop_others(session, dataset, wanted)

    def _drop_others(self, session: SparkSession, dataset: Dataset, wanted: set[str]) -> None:
        """Drop the tables and views of this dataset that its read view does not use any more."""
        raw = self._quoted("raw")
        for name in session.relations_of("raw"):
            kind = relations.kind_of(name, dataset.name)
            if kind and name not in wanted:
                session.run(f"drop {kind} {raw}.{SPARK.quote(name)}")

    def view_comments(self, session: SparkSession, /) -> dict[tuple[str, str], str]:
        """The comment on each read view, by schema and name."""
        return session.comments(registry.schemas())

    def raw_row_sql(self, table_name: str, lake_path: str) -> str:
        """The statement that selects one raw row as published, by its ordinal."""
        name = parquet_of(table_name, lake_path)
        path = relations.pattern(self._lake_url, [name]).replace('"', '""')
        return f'select * from parquet."{path}" where _metadata.row_index = ?'

    def snapshot(self, _session: SparkSession, /) -> AbstractContextManager[None]:
        """Nothing: tables of Spark have no common state, and the lock keeps writers out."""
        return nullcontext()

    def export(self, session: SparkSession, sql: str, path: Path, /) -> None:
        """Write the rows that ``sql`` selects to a Parquet file, in bounded memory."""
        import pyarrow.parquet as pq

        batches = session.batches(session.in_spark(sql))
        with pq.ParquetWriter(path, batches.schema, compression="zstd") as writer:
            for batch in batches:
                writer.write_batch(batch)

    def holds_file(self, _session: SparkSession, _version: FileVersion, _path: str, /) -> bool:
        """True: the raw rows are the lake's file."""
        return True

    def _quoted(self, schema: str) -> str:
        return SPARK.quote(f"{self._prefix}{schema}")


def schema_prefix(settings: Settings) -> str:
    """What the names of the schemas begin with; empty for the real warehouse."""
    variant = f"{settings.variant.replace('-', '_')}_" if settings.variant else ""
    return f"{settings.spark_schema_prefix}{variant}"
