"""A small cluster on this machine, from the pyspark wheel: to try Spark, and to test on it.

A master, workers and a Thrift server, each a Java process that listens on loopback only. Everything
that they write is in one folder. Anybody who has an account on this machine can reach them.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

from ingestion.errors import MedallionError, UsageError
from ingestion.progress import Progress, Quiet

HOST = "127.0.0.1"
PORT = 10000
WORKERS = 2
START_SECONDS = 600.0
STOP_SECONDS = 20.0
POLL_SECONDS = 0.2
JAVA = 17
# What results depend on. Sessions take these values from the server, and check them.
SESSION = {
    "spark.sql.ansi.enabled": "true",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.timestampType": "TIMESTAMP_NTZ",
    "spark.sql.sources.partitionOverwriteMode": "dynamic",
}


@dataclass(frozen=True)
class Cluster:
    """A running cluster: the port of its Thrift server, its master, and its processes."""

    port: int
    master: str
    pids: dict[str, int]  # by the name of the process: master, worker-1, thrift


def up(
    folder: Path,
    port: int = PORT,
    workers: int = WORKERS,
    memory: str = "1g",
    settings: Sequence[str] = (),
    progress: Progress | None = None,
    home: Path | None = None,
    cores: int = 1,
) -> Cluster:
    """Start a cluster, and return when it answers; one that runs already is given back.

    Each worker has ``cores`` and one executor of ``memory``. Without workers, the Thrift server
    does their work too, on every core. ``settings`` are further ones of the Thrift server, as
    ``key=value``, and ``home`` is the folder of another Spark than that of the wheel. Raises
    ``UsageError`` where Spark or Java is missing or the port is taken, and ``MedallionError`` where
    it does not answer in time.
    """
    progress = progress or Quiet()
    if running := find(folder):
        return running
    command = _spark_class(home)
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()
    for name in ("logs", "work", "local", "scratch"):
        (folder / name).mkdir(exist_ok=True)
    _refuse_taken(port)
    # below the Thrift server's: the ports that the system chooses are also given to clients
    master_port = next(number for number in range(port - 1, 0, -1) if not _answers(number))
    master = f"spark://{HOST}:{master_port}" if workers else "local[*]"
    pids: dict[str, int] = {}

    def start(name: str, *arguments: str) -> None:
        progress.say(f"starting Spark's {name}")
        pids[name] = _start(folder, name, [command, *arguments])
        _write(folder, Cluster(port, master, pids))

    try:
        if workers:
            start(
                "master",
                "org.apache.spark.deploy.master.Master",
                *("--host", HOST, "--port", str(master_port), "--webui-port", "0"),
            )
            _await(folder, "master", pids, lambda: _answers(master_port))
        for number in range(1, workers + 1):
            start(
                f"worker-{number}",
                "org.apache.spark.deploy.worker.Worker",
                *("--host", HOST, "--webui-port", "0", "--cores", str(cores), "--memory", "2g"),
                *("--work-dir", str(folder / "work"), master),
            )
        start("thrift", *_thrift(folder, master, workers * cores, port, memory, settings))
        _await(folder, "thrift", pids, lambda: _answers(port))
    except BaseException:
        down(folder)
        raise
    return Cluster(port, master, pids)


def down(folder: Path) -> bool:
    """Stop the cluster; tables and logs stay. Whether there was one."""
    found = _read(folder)
    if not found:
        return False
    pids = [pid for name, pid in found.pids.items() if _is_ours(folder, name, pid)]
    for pid in reversed(pids):
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while any(_is_alive(pid) for pid in pids):
        if time.monotonic() > deadline:
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
        time.sleep(POLL_SECONDS)
    _state(folder).unlink(missing_ok=True)
    return bool(pids)


def find(folder: Path) -> Cluster | None:
    """The cluster that runs there; None if one of its processes has ended."""
    found = _read(folder)
    if found and all(_is_ours(folder, name, pid) for name, pid in found.pids.items()):
        return found
    if found:
        down(folder)
    return None


def _thrift(
    folder: Path, master: str, cores: int, port: int, memory: str, settings: Sequence[str]
) -> Iterator[str]:
    metastore = f"jdbc:derby:;databaseName={folder}/metastore;create=true"
    values = {
        **SESSION,
        "spark.sql.warehouse.dir": (folder / "warehouse").as_uri(),
        "spark.hadoop.javax.jdo.option.ConnectionURL": metastore,
        "spark.hadoop.hive.exec.scratchdir": f"{folder}/scratch/hive",
        "spark.hadoop.hive.exec.local.scratchdir": f"{folder}/scratch/hive-local",
        "spark.hadoop.hive.server2.logging.operation.log.location": f"{folder}/scratch/operations",
        "spark.local.dir": f"{folder}/local",
        # a result passes through the server in parts, not as a whole
        "spark.sql.thriftServer.incrementalCollect": "true",
        "spark.executor.memory": memory,
        "spark.driver.host": HOST,
        "spark.driver.bindAddress": HOST,
        # one machine: many small tasks would cost more than they bring
        "spark.sql.shuffle.partitions": str(max(4, 2 * cores)),
        # statements of several dbt threads share the cluster
        "spark.scheduler.mode": "FAIR",
        # Each thread opens the metastore, which takes as long as a small statement, and by default
        # each statement has a thread of its own.
        "spark.hadoop.hive.server2.async.exec.threads": "16",
        "spark.hadoop.hive.server2.async.exec.keepalive.time": "3600s",
        # a task that does not end when it is asked to ends with its executor; another one starts
        "spark.task.reaper.enabled": "true",
        "spark.task.reaper.killTimeout": "30s",
        "spark.log.level": "WARN",
    }
    if cores:
        # a core that has done its task early has another one to do
        values["spark.default.parallelism"] = str(2 * cores)
    yield from ("org.apache.spark.deploy.SparkSubmit", "--master", master)
    yield from ("--name", "medallion", "--driver-memory", memory)
    derby = f"-Dderby.system.home={folder} -Dderby.stream.error.file={folder}/logs/derby.log"
    yield from ("--driver-java-options", f"{derby} -Djava.io.tmpdir={folder}/scratch")
    for pair in [f"{key}={value}" for key, value in values.items()] + list(settings):
        yield from ("--conf", pair)
    yield from ("--class", "org.apache.spark.sql.hive.thriftserver.HiveThriftServer2")
    yield from ("spark-internal",)
    yield from ("--hiveconf", f"hive.server2.thrift.port={port}")
    yield from ("--hiveconf", f"hive.server2.thrift.bind.host={HOST}")


def _spark_class(home: Path | None) -> str:
    if home is None:
        found = find_spec("pyspark")
        if not found or not found.submodule_search_locations:
            raise UsageError("Spark is not installed. Run: uv sync --extra spark")
        home = Path(found.submodule_search_locations[0])
    program = home / "bin" / "spark-class"
    if not program.is_file():
        raise UsageError(f"There is no Spark in {home}: it has no bin/spark-class.")
    java = os.environ.get("JAVA_HOME", "") and f"{os.environ['JAVA_HOME']}/bin/java"
    if not shutil.which(java or "java"):
        raise UsageError(
            f"Spark needs Java {JAVA}, and there is none. Install one, as by apt-get install"
            f" openjdk-{JAVA}-jre-headless, or set JAVA_HOME."
        )
    return str(program)


def _start(folder: Path, name: str, command: Sequence[str]) -> int:
    # those of another Spark on this machine are not for this one
    env = {k: v for k, v in os.environ.items() if not k.startswith(("SPARK_", "HADOOP_"))}
    env |= {"SPARK_LOCAL_IP": HOST, "SPARK_HOME": str(Path(command[0]).parents[1])}
    if name != "thrift":  # it would also override the Thrift server's own
        env["SPARK_DAEMON_MEMORY"] = "256m"
    env["PYSPARK_PYTHON"] = sys.executable
    with (folder / "logs" / f"{name}.log").open("wb") as log:
        return subprocess.Popen(  # noqa: S603  no shell, and the program is the wheel's
            command,
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ).pid


def _await(folder: Path, name: str, pids: dict[str, int], is_there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not is_there():
        if not _is_alive(pids[name]):
            raise MedallionError(
                f"Spark's {name} has ended: {_last_line(folder, name)}."
                f" Its log is {folder / 'logs' / name}.log."
            )
        if time.monotonic() > deadline:
            raise MedallionError(
                f"Spark's {name} does not answer after {START_SECONDS:.0f} s;"
                f" its log is {folder / 'logs' / name}.log."
            )
        time.sleep(POLL_SECONDS)


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection((HOST, port), timeout=1):
        return True
    return False


def _refuse_taken(port: int) -> None:
    if _answers(port):
        raise UsageError(
            f"Port {port} is taken by another program. Stop that one, or name another port by"
            " MEDALLION_SPARK_PORT."
        )


def _is_alive(pid: int) -> bool:
    with suppress(ChildProcessError):  # not started by this process
        if os.waitpid(pid, os.WNOHANG) != (0, 0):
            return False
    # one that its parent does not wait for stays listed when it has ended
    state = _ps("stat=", pid)
    return bool(state) and not state.startswith("Z")


def _is_ours(folder: Path, name: str, pid: int) -> bool:
    """Whether the process still runs; another one may have its number by now."""
    if not _is_alive(pid):
        return False
    shown = _ps("command=", pid)
    return "org.apache.spark" in shown and (name != "thrift" or str(folder.resolve()) in shown)


def _ps(column: str, pid: int) -> str:
    """What ps says of a process; empty if there is no such process."""
    return subprocess.run(  # noqa: S603
        ["ps", "-ww", "-o", column, "-p", str(pid)],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()


def _last_line(folder: Path, name: str) -> str:
    lines = (folder / "logs" / f"{name}.log").read_text(errors="replace").split("\n")
    told = [line.strip() for line in lines if "Exception" in line or "rror" in line]
    return (told or ["it gave no reason"])[-1]


def _state(folder: Path) -> Path:
    return folder / "cluster.json"


def _read(folder: Path) -> Cluster | None:
    try:
        return Cluster(**json.loads(_state(folder).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _write(folder: Path, cluster: Cluster) -> None:
    _state(folder).write_text(json.dumps(asdict(cluster)))
