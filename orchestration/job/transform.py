"""Run dbt over the warehouse, if there is something to build.

dbt runs in this process. If the process is killed, dbt ends too, so no orphan process keeps on
writing. The dbt project records in the warehouse what a build was made from: the project's files
and the raw versions in use. So one query shows whether anything is new.
"""

import gc
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from ingestion.errors import MedallionError, first_line
from ingestion.progress import Progress, Quiet
from ingestion.settings import PROJECT_ROOT, Settings
from ingestion.warehouse import connect, engine_for
from ingestion.warehouse.base import has_all_columns, tables
from ingestion.words import on_one_line

if TYPE_CHECKING:
    from dbt.events.base_types import EventMsg  # type: ignore[attr-defined]

PROJECT_DIR = PROJECT_ROOT / "dbt_project"
PROJECT_SOURCES = ("models", "macros", "seeds", "tests")
# libpq's variables that set session parameters; those that say how to connect are kept
LIBPQ_DEFAULTS = ("PGDATESTYLE", "PGTZ", "PGGEQO", "PGCLIENTENCODING")
BAD = ("error", "fail", "runtime error")
MOST_ERRORS = 5  # that a message tells
ROW_WIDTH = 300  # characters of a row in a message
# parts of the messages of errors that may pass: from libpq, if the server went away or does not
# answer; from this project's macros, if a reader holds a table
PASSING = (
    "server closed the connection",
    "terminating connection",
    "connection to server",
    "connection already closed",
    "could not receive data from server",
    " is held by ",
)


@dataclass(frozen=True)
class Node:
    """The result of one model or test."""

    name: str
    kind: str
    status: str
    seconds: float
    message: str
    failures: int | None  # rows that a test found


class TransformError(MedallionError):
    """dbt failed. The message names the failed nodes and why; ``nodes`` has all nodes that ran."""

    def __init__(self, message: str, nodes: tuple[Node, ...] = ()):
        super().__init__(message)
        self.nodes = nodes
        self.may_pass = any(sign in message for sign in PASSING)


@dataclass(frozen=True)
class TransformReport:
    """What one transform did."""

    built: bool  # False if there was nothing to do
    nodes: tuple[Node, ...] = ()

    @property
    def models(self) -> int:
        """How many models were built."""
        return sum(n.kind == "model" for n in self.nodes)

    @property
    def tests(self) -> int:
        """How many tests were run."""
        return sum(n.kind in ("test", "unit_test") for n in self.nodes)

    @property
    def warnings(self) -> tuple[str, ...]:
        """The warnings of tests, one line each."""
        return tuple(f"{n.name}: {n.message}" for n in self.nodes if n.status == "warn")


def transform(
    settings: Settings,
    full_refresh: bool = False,
    progress: Progress | None = None,
    datasets: Sequence[str] = (),
    start: date | None = None,
    end: date | None = None,
    unit_tests: bool = False,
) -> TransformReport:
    """Build and test what is stale in the warehouse; raise ``TransformError`` if dbt fails.

    ``full_refresh`` builds everything anew; with datasets or months, only those months. Readers
    keep the old rows of a month until its new rows are complete. ``unit_tests`` also runs the unit
    tests of the models, even if nothing is stale.
    """
    inputs = build_inputs(settings)
    if not full_refresh and not unit_tests and _is_built(settings, inputs):
        return TransformReport(built=False)
    args = ["build"] if unit_tests else ["build", "--exclude-resource-type", "unit_test"]
    # the caller holds the run lock; so on Spark, this build need not wait for the lock that a
    # killed dbt has left in the warehouse
    env = {"MEDALLION_BUILD_INPUTS": inputs, "MEDALLION_RUN_LOCK": "held"}
    if full_refresh and (datasets or start or end):
        env["MEDALLION_BUILD_ANEW"] = json.dumps(
            {"datasets": list(datasets), "from": start, "to": end}, default=date.isoformat
        )
    elif full_refresh:
        args.append("--full-refresh")
    return TransformReport(built=True, nodes=run_dbt(settings, args, progress or Quiet(), env))


def build_inputs(settings: Settings) -> str:
    """sha256 of what a build follows from: the dbt project, and the raw versions as they are read.

    Raises ``MedallionError`` if an earlier release loaded the warehouse, and this one has not.
    """
    digest = _project_hash()
    with connect(settings, read_only=True) as session:
        if not has_all_columns(session):
            raise MedallionError(
                "raw.files was written by an earlier release, and lacks columns that this release"
                " builds from. Add them with: medallion load"
            )
        files = session.query(
            "select table_name, is_current, is_newest, error,"
            " case when is_current then read_as end from raw.files order by table_name"
        )
    digest.update(repr(files.rows).encode())
    if settings.target == "spark":
        digest.update(settings.spark_format.encode())
    return digest.hexdigest()


def project_digest() -> str:
    """sha256 of the dbt project's files."""
    return _project_hash().hexdigest()


def _project_hash() -> "hashlib._Hash":
    digest = hashlib.sha256()
    for folder in PROJECT_SOURCES:
        for path in sorted((PROJECT_DIR / folder).rglob("*")):
            if path.is_file():
                digest.update(f"{path.relative_to(PROJECT_DIR)}\n".encode() + path.read_bytes())
    digest.update((PROJECT_DIR / "dbt_project.yml").read_bytes())
    return digest


def compile_models(settings: Settings, progress: Progress) -> dict[str, Any]:
    """dbt's manifest with the compiled SQL of every model; no warehouse is opened.

    Raises ``TransformError`` if dbt cannot compile the project.
    """
    from dbt.cli.main import dbtRunner

    state = settings.work_dir / "dbt" / "compiled"
    progress.say("dbt compile")
    env = {"DBT_SEND_ANONYMOUS_USAGE_STATS": "false"}
    with _environment(env), _closing_duckdb(), _collecting_seldom():
        outcome = dbtRunner().invoke(
            [
                "compile",
                *("--select", "resource_type:model"),
                "--no-populate-cache",
                *("--project-dir", str(PROJECT_DIR)),
                *("--profiles-dir", str(PROJECT_DIR)),
                *("--target", "lint"),
                *("--target-path", str(state / "target")),
                *("--log-path", str(state / "logs")),
                *("--log-level", "none", "--log-level-file", "info"),
                "--no-use-colors",
            ]
        )
    if isinstance(outcome.exception, KeyboardInterrupt):
        raise outcome.exception
    if not outcome.success:
        reason = " ".join(str(outcome.exception or "it gave no reason").split())
        raise TransformError(
            f"dbt cannot compile the project: {reason}. Its log is {state / 'logs' / 'dbt.log'}."
        )
    manifest: dict[str, Any] = json.loads((state / "target" / "manifest.json").read_bytes())
    return manifest


def declared_models() -> Iterator[dict[str, Any]]:
    """The properties of each model, as the project's YAML files declare them."""
    from dbt.clients.yaml_helper import load_yaml_text
    from dbt_common.exceptions import DbtValidationError

    for path in sorted((PROJECT_DIR / "models").rglob("*.yml")):
        try:
            content = load_yaml_text(path.read_text()) or {}
        except DbtValidationError as exc:
            raise MedallionError(f"{path} cannot be read: {first_line(exc)}.") from exc
        yield from content.get("models") or ()


def run_dbt(
    settings: Settings,
    args: list[str],
    progress: Progress,
    extra_env: Mapping[str, str] | None = None,
) -> tuple[Node, ...]:
    """Run one dbt command on the project; raise ``TransformError`` if a node fails."""
    from dbt.cli.main import dbtRunner

    # the profile reads the environment, so that dbt has the settings of this run
    engine = engine_for(settings)
    env = {
        **engine.environment(),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        **(extra_env or {}),
    }
    state = settings.work_dir / "dbt" / settings.target / (settings.variant or "real")
    progress.say(f"dbt {' '.join(args)}")
    with _environment(env), _closing_duckdb(), _collecting_seldom():
        outcome = dbtRunner(callbacks=[_reporter(progress)]).invoke(
            [
                *args,
                *("--project-dir", str(PROJECT_DIR)),
                *("--profiles-dir", str(PROJECT_DIR)),
                *("--target", settings.target),
                *("--target-path", str(state / "target")),
                *("--log-path", str(state / "logs")),
                # no errors either: stdout is for results, and the callback reports the rest
                *("--log-level", "none", "--log-level-file", "info"),
                "--no-use-colors",
                # nothing reads the manifest; dbt keeps its parse result without it
                "--no-write-json",
            ]
        )
    if isinstance(outcome.exception, KeyboardInterrupt):
        raise outcome.exception
    # a failed test is success=False without an exception
    nodes = tuple(_node(r) for r in getattr(outcome.result, "results", None) or ())
    bad = [n for n in nodes if n.status in BAD]
    if bad or not outcome.success:
        rows = _first_rows(settings, outcome.result)
        errors = [f"{n.name}: {n.message}{rows.get(n.name, '')}" for n in bad]
        errors = errors or [" ".join(str(outcome.exception or "it gave no reason").split())]
        raise TransformError(
            f"dbt failed at {len(errors)} place(s): {'; '.join(errors[:MOST_ERRORS])}."
            f" Its log is {state / 'logs' / 'dbt.log'}.",
            nodes,
        )
    return nodes


def _node(result: Any) -> Node:
    return Node(
        name=result.node.name,
        kind=str(result.node.resource_type),
        status=str(result.status),
        seconds=result.execution_time,
        message=" ".join(str(result.message or "").split()),
        failures=result.failures,
    )


def _first_rows(settings: Settings, result: Any) -> dict[str, str]:
    """The first row that each of the failed tests found, in words, by the name of the test.

    dbt's own ``store_failures`` would write a table for each test, failed or not.
    """
    failed = [
        r.node
        for r in getattr(result, "results", None) or ()
        if r.status == "fail" and r.node.resource_type == "test"
    ]
    words = {}
    for node in failed[:MOST_ERRORS]:
        # what the test found is told anyway; the warehouse may be out of reach meanwhile
        with suppress(MedallionError), connect(settings, read_only=True) as session:
            found = session.query(f"select * from ({node.compiled_code}\n) as found limit 1")
            for row in found.records():
                values = ", ".join(f"{column}={value}" for column, value in row.items())
                words[node.name] = f" (the first: {shorten(on_one_line(values), ROW_WIDTH)})"
    return words


def _is_built(settings: Settings, inputs: str) -> bool:
    """Whether dbt's last run succeeded with these inputs, and all that it built still exists."""
    made = {path.stem for path in (PROJECT_DIR / "models").rglob("*.sql")}
    with connect(settings, read_only=True) as session:
        if not made | {"dbt_invocations"} <= {name for _, name in tables(session)}:
            return False
        last = session.query(
            "select succeeded, inputs from intermediate.dbt_invocations"
            " order by completed_at desc limit 1"
        )
    return last.rows == [(True, inputs)]


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables; restore the old ones and the working directory afterwards.

    Removes dbt's own variables, which are meant for other projects, and libpq's variables that
    change the result of a statement.
    """
    before, cwd = dict(os.environ), os.getcwd()  # noqa: PTH109
    for name in before:
        if name.startswith("DBT_") or name in LIBPQ_DEFAULTS:
            del os.environ[name]
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        os.chdir(cwd)


@contextmanager
def _closing_duckdb() -> Iterator[None]:
    """Close the DuckDB file afterwards: dbt-duckdb would keep it open until the process ends.

    https://github.com/duckdb/dbt-duckdb/issues/616
    """
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager
    from dbt.adapters.factory import reset_adapters

    try:
        yield
    finally:
        reset_adapters()  # type: ignore[no-untyped-call]
        DuckDBConnectionManager.close_all_connections()  # type: ignore[no-untyped-call]


@contextmanager
def _collecting_seldom() -> Iterator[None]:
    """Let Python look for unused objects in cycles less often, and not among those of imports.

    dbt keeps nearly all objects that it makes. To look through them again and again took an eighth
    of the time of a small build.
    """
    before, frozen = gc.get_threshold(), gc.get_freeze_count()
    gc.freeze()
    gc.set_threshold(5000, 5, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        if not frozen:
            gc.unfreeze()


def _reporter(progress: Progress) -> Any:
    """A dbt callback that reports each finished node to ``progress``."""

    def on_event(event: "EventMsg") -> None:
        data = event.data
        match event.info.name:
            case "ConcurrencyLine":
                progress.stage("transform", int(getattr(data, "node_count", 0)))
            case "NodeFinished":
                node, status = data.node_info, str(data.node_info.node_status)
                routine = node.materialized == "view" or node.resource_type != "model"
                note = str(data.run_result.message or status)
                progress.file_done(
                    node.node_name, "" if routine and status not in (*BAD, "warn") else note
                )

    return on_event
