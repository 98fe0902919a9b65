"""``raw.files`` on Spark: one immutable Parquet file in the lake, and a view that is replaced.

Plain tables of Spark have no transactions, updates or deletes. So a session changes a copy in
memory, and a commit writes it as a new file; replacing the view is what makes it seen.
"""

import hashlib
import io
import re
from collections.abc import Sequence
from typing import Any

import duckdb

from ingestion.errors import MedallionError, first_line
from ingestion.lake.storage.store import Store
from ingestion.warehouse.base import FILES_TABLE, files_ddl, format_comment, refuse_later_format
from ingestion.warehouse.duckdb.engine import DuckDbSession
from ingestion.warehouse.spark.relations import literal, path_sql
from ingestion.warehouse.spark.statements import Statements

FOLDER = "spark/files"
_FILE = re.compile(rf"\b{FILES_TABLE}_([0-9a-f]{{32}})\b")
_LAKE = "; lake "
_TYPES = {
    "VARCHAR": "string",
    "BIGINT": "bigint",
    "DATE": "date",
    "BOOLEAN": "boolean",
    "TIMESTAMP WITH TIME ZONE": "timestamp",
}


class FilesTable:
    """The rows of ``raw.files``, as a session sees and changes them."""

    def __init__(self, spark: Statements, lake_url: str, label: str):
        self._spark, self._lake_url, self._label = spark, lake_url, label
        self._local: DuckDbSession | None = None
        self._is_changed = False

    @property
    def local(self) -> DuckDbSession:
        """A session of DuckDB on the copy in memory, which holds nothing else."""
        if self._local is None:
            self._local = DuckDbSession(duckdb.connect())
            self._local.execute("create schema raw")
            self._local.execute(files_ddl(text="varchar", json_type="varchar"))
            if found := self._current():
                self._load(self._local, found)
        return self._local

    def is_there(self) -> bool:
        """Whether the view exists; raises ``MedallionError`` for one of a later release."""
        told = self._comment()
        refuse_later_format(told and told.partition(_LAKE)[0], self._label)
        return told is not None

    def change(self, sql: str, parameters: Sequence[Any]) -> None:
        """Change the copy; ``commit()`` makes it seen."""
        self.local.execute(sql, parameters)
        self._is_changed = True

    def read_anew(self) -> None:
        """Drop the copy and its changes; the next use reads what is seen now."""
        self._local, self._is_changed = None, False

    def commit(self) -> None:
        """Write the copy to the lake if it was changed, and let the view read it.

        The file before stays for those who are reading it; the one before that is deleted.
        """
        if not self._is_changed and self.is_there():
            return
        content = self._content()
        digest = hashlib.sha256(content).hexdigest()[:32]
        before = self._current()
        store = Store(self._lake_url)
        store.write(_file(digest), content)
        raw = f"`{self._spark.prefix}raw`"
        table = f"{raw}.{FILES_TABLE}_{digest}"
        columns = self.local.query(f"describe raw.{FILES_TABLE}").rows
        typed = ", ".join(f"{name} {_TYPES[kind]}" for name, kind, *_ in columns)
        self._spark.run(
            f"create table if not exists {table} ({typed}) using parquet"
            f" options (path {path_sql(self._lake_url, [_file(digest)])})"
        )
        names = ", ".join(name for name, *_ in columns)
        self._spark.run(
            f"create or replace view {raw}.{FILES_TABLE}"
            f" comment {literal(f'{format_comment()}{_LAKE}{self._lake_url}')}"
            f" as select {names} from {table}"
        )
        self._is_changed = False
        self._forget_all_but(store, {digest, before})

    def _content(self) -> bytes:
        import pyarrow.parquet as pq

        rows = self.local.connection.sql(f"from raw.{FILES_TABLE} order by table_name")
        written = io.BytesIO()
        pq.write_table(rows.to_arrow_table(), written)
        return written.getvalue()

    def _comment(self) -> str | None:
        return self._spark.comments(["raw"], FILES_TABLE).get(("raw", FILES_TABLE))

    def _current(self) -> str | None:
        """The digest in the name of the file that the view reads."""
        for _, _, told in self._spark.told(["raw"], FILES_TABLE):
            if found := _FILE.search(told):
                return found[1]
        return None

    def _load(self, local: DuckDbSession, digest: str) -> None:
        import pyarrow.parquet as pq

        lake_url = (self._comment() or "").partition(_LAKE)[2]
        try:
            (content,) = Store(lake_url).read_all([_file(digest)])
        except (FileNotFoundError, MedallionError) as exc:
            raise MedallionError(
                f"{self._label} records its versions in {lake_url}/{_file(digest)}, which cannot be"
                f" read: {first_line(exc)}. Mount or restore that lake. To begin anew with another"
                f" one, drop the view {self._spark.prefix}raw.{FILES_TABLE} in Spark."
            ) from exc
        local.connection.register("found", pq.read_table(io.BytesIO(content)))
        local.execute(f"insert into raw.{FILES_TABLE} by name select * from found")
        local.connection.unregister("found")
        if lake_url != self._lake_url:
            # the views read the files of another lake, or of this one in its place before
            local.execute(f"update raw.{FILES_TABLE} set loaded_at = null")

    def _forget_all_but(self, store: Store, kept: set[str | None]) -> None:
        for name in self._spark.relations_of("raw"):
            found = _FILE.fullmatch(name)
            if found and found[1] not in kept:
                self._spark.run(f"drop table `{self._spark.prefix}raw`.`{name}`")
                store.delete(_file(found[1]))


def _file(digest: str) -> str:
    return f"{FOLDER}/{digest}.parquet"
