"""A real Spark cluster: master, worker and a Thrift server, shared by all test processes."""

import fcntl
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from ingestion.settings import Settings
from ingestion.warehouse.spark import cluster
from ingestion.warehouse.spark.connection import close, connect
from ingestion.warehouse.spark.engine import Spark
from ingestion.warehouse.spark.statements import Statements
from tests.support.ports import free_port

MEMORY = "1g"
# Tests have many statements over few rows: to compile code for them, twice, takes most of the time.
JAVA = (
    "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m"
    # each process loads the same classes of the wheel, and would verify them anew
    " -XX:+UnlockDiagnosticVMOptions -XX:-BytecodeVerificationRemote"
    # what a statement needs is garbage when the statement has ended
    " -XX:+UseSerialGC -XX:NewRatio=1 -XX:MinHeapFreeRatio=60"
)
# without a file of checksums beside each file, for each of which `chmod` is started; Iceberg does
# not read from there
WITHOUT_CHECKSUMS = "spark.hadoop.fs.file.impl=org.apache.hadoop.fs.RawLocalFileSystem"
SETTINGS = (
    "spark.sql.codegen.wholeStage=false",
    "spark.sql.shuffle.partitions=1",
    "spark.default.parallelism=2",
    "spark.ui.enabled=false",
    "spark.task.reaper.killTimeout=5s",
)


@contextmanager
def shared_cluster(folder: Path, at_length: bool) -> Iterator[dict[str, str]]:
    """The variables of the cluster in a folder; the first process starts it, the last stops it.

    Only ``at_length`` it plans a statement anew after each part of it, as Spark does by default.
    """
    settings = (WITHOUT_CHECKSUMS, f"spark.sql.adaptive.enabled={str(at_length).lower()}")
    if not shutil.which("java"):
        pytest.skip("there is no Java, which Spark needs")
    folder.mkdir(exist_ok=True)
    with _users(folder) as users:
        users["count"] = users.get("count", 0) + 1
        port = users.setdefault("port", free_port())
        start(folder / "cluster", port, settings=settings, cores=2)
    try:
        yield {
            "MEDALLION_TARGET": "spark",
            "MEDALLION_SPARK_PORT": str(port),
            "MEDALLION_SPARK_DIR": str(folder / "cluster"),
        }
    finally:
        with _users(folder) as users:
            users["count"] -= 1
            if not users["count"]:
                cluster.down(folder / "cluster")


def start(
    folder: Path,
    port: int,
    workers: int = 1,
    settings: Sequence[str] = (),
    home: Path | None = None,
    memory: str = MEMORY,
    cores: int = 1,
) -> cluster.Cluster:
    """Start a cluster that is quick with small tables."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JDK_JAVA_OPTIONS", JAVA)
        return cluster.up(
            folder, port, workers, memory, (*SETTINGS, *settings), home=home, cores=cores
        )


@contextmanager
def _users(folder: Path) -> Iterator[dict[str, int]]:
    """How many processes use the cluster; only one can change it at a time."""
    with (folder / "users.json").open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        users: dict[str, int] = json.loads(file.read() or "{}")
        yield users
        file.truncate(0)
        file.write(json.dumps(users))


def new_prefix() -> str:
    """A prefix of schemas that no other test has."""
    return f"t{uuid4().hex[:8]}_"


def spark_settings(variables: dict[str, str]) -> dict[str, Any]:
    """The values of the settings for a warehouse of its own on the cluster."""
    return {
        "target": "spark",
        "spark_port": int(variables["MEDALLION_SPARK_PORT"]),
        "spark_dir": Path(variables["MEDALLION_SPARK_DIR"]),
        "spark_schema_prefix": new_prefix(),
    }


def drop_schemas(settings: Settings) -> None:
    """Drop all that a warehouse has in the metastore."""
    engine = Spark(settings)
    with engine.session() as session:
        for (schema,) in session.fetch(f"show schemas like '{settings.spark_schema_prefix}*'").rows:
            session.run(f"drop schema `{schema}` cascade")


def prefix(variables: dict[str, str]) -> str:
    """What the names of the schemas begin with."""
    return variables["MEDALLION_SPARK_SCHEMA_PREFIX"]


def statement(variables: dict[str, str], sql: str) -> list[tuple[Any, ...]]:
    """Run one statement of Spark; ``{p}`` in it stands for the prefix of the schemas."""
    connection = connect(Settings(spark_port=int(variables["MEDALLION_SPARK_PORT"])))
    try:
        statements = Statements(connection, (), prefix(variables))
        return statements.fetch(sql.replace("{p}", prefix(variables))).rows
    finally:
        close(connection)


def table_files(variables: dict[str, str], schema: str, name: str) -> list[str]:
    """The Parquet files of a table of the cluster on this machine.

    As Spark does, passes over folders with a point before their names, where statements leave files
    that were killed with their server.
    """
    folder = Path(variables["MEDALLION_SPARK_DIR"]) / "warehouse"
    table = folder / f"{prefix(variables)}{schema}.db" / name
    return [
        str(path)
        for path in table.rglob("*.parquet")
        if not any(part.startswith(".") for part in path.relative_to(table).parts)
    ]
