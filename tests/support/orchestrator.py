"""A real Prefect server on a PostgreSQL of its own, and workers in other folders and homes."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import requests

from ingestion.settings import PROJECT_ROOT
from tests.support import postgres
from tests.support.flow_forks import forks, name_of
from tests.support.ports import free_port
from tests.support.processes import PATIENCE_SECONDS, wait_until

POOL = "medallion"
# The server's loops run often, so that a test need not wait long. All else is as on a real server,
# which reads pyproject.toml of the folder in which it is started.
SERVER = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "5",
    "PREFECT_SERVER_SERVICES_LATE_RUNS_LOOP_SECONDS": "1",
    "PREFECT_SERVER_SERVICES_LATE_RUNS_AFTER_SECONDS": "10",
    "PREFECT_SERVER_SERVICES_FOREMAN_LOOP_SECONDS": "2",
    "PREFECT_SERVER_SERVICES_REPOSSESSOR_LOOP_SECONDS": "2",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_FLUSH_INTERVAL": "0.5",
    "PREFECT_SERVER_EVENTS_PROACTIVE_GRANULARITY": "PT1S",
    "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "3",
    "PREFECT_SERVER_EPHEMERAL_ENABLED": "false",
}
CLIENT = {"PREFECT_WORKER_QUERY_SECONDS": "1", "DO_NOT_TRACK": "1"}


def wait_for(condition: Callable[[], object], seconds: float = PATIENCE_SECONDS) -> None:
    """As ``wait_until``, twice a second: requests slow down the run on the same server."""
    wait_until(condition, seconds, pause=0.5)


@dataclass
class Server:
    """One server; ``env`` has the variables that its clients need."""

    folder: Path
    database: str
    port: int
    forks: Path  # where its workers ask for processes of runs
    process: "subprocess.Popen[bytes] | None" = None
    password: str = ""  # as admin:PASSWORD

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"

    @property
    def env(self) -> dict[str, str]:
        return CLIENT | {"PREFECT_API_URL": self.api}

    def start(self) -> None:
        home = self.folder / "home"
        home.mkdir(exist_ok=True, parents=True)
        self.process = subprocess.Popen(
            [*_PREFECT, "server", "start", "--no-ui", "--port", str(self.port)],
            cwd=PROJECT_ROOT,
            env=_environment()
            | SERVER
            | {
                "HOME": str(home),
                "PREFECT_HOME": str(home / ".prefect"),
                "PREFECT_SERVER_DATABASE_CONNECTION_URL": self.database,
            }
            | ({"PREFECT_SERVER_API_AUTH_STRING": self.password} if self.password else {}),
            stdout=(self.folder / "server.log").open("ab"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        wait_until(self.is_up)

    def is_up(self) -> bool:
        with suppress(requests.RequestException):
            return bool(requests.get(f"{self.api}/health", timeout=1).ok)
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "server.log").read_text()[-3000:]
        return False

    def stop(self) -> None:
        if self.process:
            _end(self.process)
            self.process = None

    @property
    def _login(self) -> tuple[str, str] | None:
        user, _, password = self.password.partition(":")
        return (user, password) if user else None

    def post(self, path: str, **body: Any) -> Any:
        answer = requests.post(f"{self.api}{path}", json=body, timeout=30, auth=self._login)
        assert answer.ok, answer.text
        return answer.json() if answer.content else None

    def get(self, path: str) -> Any:
        answer = requests.get(f"{self.api}{path}", timeout=30, auth=self._login)
        assert answer.ok, answer.text
        return answer.json()

    def run(self, name: str = "nightly/nightly", **parameters: Any) -> str:
        """Schedule a run of a deployment for now, by the API; return its id."""
        return self._schedule(name, parameters, {})

    def run_missed(self, due: datetime) -> str:
        """Schedule a run of ``nightly/nightly`` that was due at ``due``; return its id."""
        return self._schedule("nightly/nightly", {}, {"scheduled_time": due.isoformat()})

    def set_schedules(self, *, active: bool) -> None:
        """Switch the schedules on or off. A scheduled run would take the slot of a test's run."""
        for deployment in self.post("/deployments/filter"):
            for schedule in deployment["schedules"]:
                path = f"/deployments/{deployment['id']}/schedules/{schedule['id']}"
                answer = requests.patch(self.api + path, json={"active": active}, timeout=30)
                assert answer.ok, answer.text

    def _schedule(self, name: str, parameters: dict[str, Any], details: dict[str, str]) -> str:
        deployment = self.get(f"/deployments/name/{name}")
        run = self.post(
            f"/deployments/{deployment['id']}/create_flow_run",
            parameters=parameters,
            state={"type": "SCHEDULED", "state_details": details},
        )
        return str(run["id"])

    def state(self, run: str) -> str:
        state = self.get(f"/flow_runs/{run}")["state"]
        return str(state["name"]) if state else "none"

    def ended(self, run: str) -> dict[str, Any]:
        """Wait until a flow run has ended; return it."""
        final = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")

        def is_over() -> bool:
            return self.get(f"/flow_runs/{run}")["state_type"] in final

        wait_for(is_over, seconds=480)
        return dict(self.get(f"/flow_runs/{run}"))

    def seconds(self, run: dict[str, Any]) -> float:
        """Seconds from the creation of a run to its end."""
        begun, ended = (datetime.fromisoformat(run[t]) for t in ("created", "end_time"))
        return (ended - begun).total_seconds()

    def runs_of(self, run: str) -> list[dict[str, Any]]:
        """The subflow runs of a run."""
        tasks = self.tasks(run)
        ids = {"any_": [task["id"] for task in tasks]}
        return list(self.post("/flow_runs/filter", flow_runs={"parent_task_run_id": ids}))

    def tasks(self, run: str) -> list[dict[str, Any]]:
        """The task runs of a run."""
        where = {"flow_run_id": {"any_": [run]}}
        return list(self.post("/task_runs/filter", task_runs=where))

    def artifacts(self, run: str) -> dict[str, Any]:
        """The artifacts of a run, by key."""
        where = {"flow_run_id": {"any_": [run]}}
        found = self.post("/artifacts/filter", artifacts=where)
        return {artifact["key"]: artifact for artifact in found}

    def logs(self, run: str) -> str:
        where = {"flow_run_id": {"any_": [run]}}
        return "\n".join(log["message"] for log in self.post("/logs/filter", logs=where))


@dataclass
class Worker:
    """A process worker of the pool, started in another folder and home, as another user would."""

    server: Server
    folder: Path
    env: dict[str, str]
    name: str
    process: "subprocess.Popen[bytes] | None" = field(default=None)

    def start(self, *, anew: bool = False) -> None:
        """Start it.

        The process of a run is forked from one that has done the imports, or starts ``anew``.
        """
        home = self.folder / "home"
        home.mkdir(exist_ok=True, parents=True)
        script = Path(__file__).with_name("forking_worker.py")
        forking = (sys.executable, "-P", str(script), str(self.server.forks))
        self.process = subprocess.Popen(
            [
                *(_PREFECT if anew else forking),
                "worker",
                "start",
                f"--pool={POOL}",
                "--type=process",
                f"--name={self.name}",
                # low enough that a night and four months of it need two workers
                "--limit=3",
            ],
            cwd=self.folder,
            env=_environment() | self.server.env | self.env | {"HOME": str(home)},
            stdout=(self.folder / "worker.log").open("ab"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        wait_until(self.is_ready)

    def is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log()[-3000:]
        workers = self.server.post(f"/work_pools/{POOL}/workers/filter")
        return any(w["name"] == self.name and w["status"] == "ONLINE" for w in workers)

    def log(self) -> str:
        return (self.folder / "worker.log").read_text()

    def stop(self) -> None:
        if self.process:
            _end(self.process)
            self.process = None


_PREFECT = (sys.executable, "-m", "prefect")


def flow_processes(run: str) -> list[int]:
    """The processes that execute this flow run; other tests have runs of their own."""
    found = []
    for path in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            is_forked = (path / "comm").read_text().rstrip() == name_of(run)
            is_engine = b"prefect.engine" in (path / "cmdline").read_bytes()
            if is_forked or (is_engine and run.encode() in (path / "environ").read_bytes()):
                found.append(int(path.name))
    return found


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """Run a server with the project's deployments and an empty work pool."""
    folder.mkdir(parents=True)
    with (
        forks(folder) as address,
        postgres.server(folder / "postgres") as variables,
        postgres.database(variables) as own,
    ):
        host, name = own["PGHOST"], own["PGDATABASE"]
        password = f":{own['PGPASSWORD']}" if "PGPASSWORD" in own else ""
        server = Server(
            folder,
            f"postgresql+asyncpg://{own['PGUSER']}{password}@/{name}?host={host}&port={own['PGPORT']}",
            free_port(),
            address,
        )
        server.start()
        try:
            server.post("/work_pools/", name=POOL, type="process")
            deploy(server)
            server.set_schedules(active=False)
            yield server
        finally:
            server.stop()


def deploy(server: Server) -> None:
    """Deploy what ``prefect.yaml`` defines."""
    done = subprocess.run(
        [*_PREFECT, "--no-prompt", "deploy", "--all"],
        cwd=PROJECT_ROOT,
        env=_environment() | server.env | {"MEDALLION_PROJECT": str(PROJECT_ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _environment() -> dict[str, str]:
    """This process's environment without the variables of Medallion, PostgreSQL and Prefect."""
    ours = ("MEDALLION_", "PG", "PREFECT_")
    return {k: v for k, v in os.environ.items() if not k.startswith(ours)}


def _end(process: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)
