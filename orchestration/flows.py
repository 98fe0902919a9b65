"""The nightly flow: Prefect around the same plain functions as ``medallion run``.

Run it by ``python -m orchestration.flows``, or as the deployment ``nightly/nightly`` of
``prefect.yaml``. Flows are async because a sync one waits a second for its heartbeat thread at its
end; the work in the tasks is plain and blocking.
"""

import asyncio
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal

from prefect import allow_failure, flow, runtime, task
from prefect.artifacts import acreate_progress_artifact, aupdate_progress_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import FlowRunContext, TaskRunContext
from prefect.deployments import run_deployment
from prefect.states import Failed
from pydantic import Field

from ingestion import lake, publisher, warehouse
from ingestion.catalog import Catalog
from ingestion.engines import engine_for
from ingestion.errors import (
    FetchError,
    MedallionError,
    UntrustedFileError,
    WarehouseBusyError,
    WarehouseError,
)
from ingestion.lake import Outcome
from ingestion.progress import Lines
from ingestion.publisher import PublishedFile
from ingestion.settings import load_settings
from orchestration import artifacts, events
from orchestration.audit import Audit
from orchestration.audit import audit as audit_stage
from orchestration.caching import file_key
from orchestration.deadline import deadline
from orchestration.stages import ledger_faults
from orchestration.transform import TransformError, TransformReport
from orchestration.transform import transform as transform_stage

MINUTE, HOUR = 60, 3600
DISCOVER_SECONDS = 10 * MINUTE
FILE_SECONDS = 1 * HOUR
TRANSFORM_SECONDS = 6 * HOUR
TRY_AGAIN_SECONDS = [10.0, 20.0, 40.0]
# Prefect knows no tries for as long as it takes, and repeats the last pause.
WITHOUT_END = 100_000
TURN_POLL_SECONDS = 5.0
INCOMPLETE = "Incomplete"
CACHED = "Cached"  # Prefect's name for the state of a task that did not run

Dataset = Literal["yellow", "green", "fhv", "fhvhv", "taxi_zone_lookup", "tlc_monthly_report"]
Month = Annotated[
    str, Field(pattern=r"^\d{4}-(0[1-9]|1[0-2])$", description="A month, written as 2024-01.")
]


def outcome_of(state: State) -> Any:
    """What a task returned or raised, at once, whether an event loop runs or not."""
    return state.result(raise_on_failure=False, _sync=True)  # type: ignore[call-overload]


def may_pass(_task: Any, run: TaskRun, state: State) -> bool:
    """Whether to try again: only what may go well the next time, with nothing changed.

    Who holds the warehouse is waited for without end, for somebody is at work there. All else is
    tried again a few times, and such waits count as tries.
    """
    fault = outcome_of(state)
    if isinstance(fault, WarehouseBusyError):
        return True
    if run.run_count > len(TRY_AGAIN_SECONDS):
        return False
    if isinstance(fault, MedallionError):
        return fault.may_pass
    # of what nobody foresaw, a network or a disk may recover, and a timeout may not come again
    return isinstance(fault, OSError)


tries: dict[str, Any] = {
    "retries": len(TRY_AGAIN_SECONDS),
    "retry_delay_seconds": TRY_AGAIN_SECONDS,
    "retry_jitter_factor": 0.5,
    "retry_condition_fn": may_pass,
    "log_prints": True,
}
# at the warehouse, which somebody else may hold
in_turn = tries | {
    "retries": WITHOUT_END,
    "retry_delay_seconds": [*TRY_AGAIN_SECONDS, TURN_POLL_SECONDS],
}


@task(task_run_name="wait for its turn", persist_result=False, **in_turn)
def take_turn() -> ExitStack:
    """Queue behind a run that is under way, whoever started it and wherever.

    Returns what keeps other runs out until it is closed.
    """
    turn = ExitStack()
    try:
        turn.enter_context(engine_for(load_settings()).only_run())
    except WarehouseBusyError as exc:
        print(f"waiting: {exc}")  # noqa: T201  # a print is a line of the task's log
        raise
    return turn


@task(task_run_name="discover", timeout_seconds=DISCOVER_SECONDS, **tries)
def discover(datasets: list[Dataset], start: date | None, end: date | None) -> list[PublishedFile]:
    """Ask the publisher what there is, one HEAD a file; tell of datasets without news."""
    settings = load_settings()
    files = publisher.published_files(settings, datasets, start, end)
    if start is None and end is None:
        silent = publisher.overdue(settings, files)
        for silence in silent:
            events.source_stale(silence)
        months = [file for file in files if file.month]
        # of what is not there, or could not be asked about, nobody knows
        if months and not silent and not any(file.fault for file in months):
            events.sources_fresh()
    return files


@task(
    task_run_name="look at lake and warehouse",
    persist_result=False,  # what they hold now, also where a run is tried again
    timeout_seconds=DISCOVER_SECONDS,
    **in_turn,
)
def look(files: list[PublishedFile]) -> tuple[set[str], set[str]]:
    """Which of the files the lake holds as they are published, and which the warehouse shows so."""
    settings = load_settings()
    catalog, shown = Catalog(settings.lake_url), warehouse.tables_in_use(settings)
    landed = {
        file.name: catalog.newest(file.dataset, file.month)
        for file in files
        if lake.is_landed(catalog, file)
    }
    loaded = {name for name, newest in landed.items() if newest and newest.table_name in shown}
    return set(landed), loaded


def land_key(_context: TaskRunContext, parameters: dict[str, Any]) -> str:
    """What landing one file depends on."""
    settings = load_settings()
    return file_key(settings, "land", settings.lake_url, parameters["file"])


@task(
    task_run_name="land {file.name}",
    cache_key_fn=land_key,
    persist_result=True,
    timeout_seconds=FILE_SECONDS,
    **tries,
)
def land(file: PublishedFile) -> str:
    """Land one published file in the lake, bytes unchanged; returns what it was, new or other."""
    with deadline(FILE_SECONDS, f"landing {file.name}"):
        # what could not be asked about when it was discovered may be there by now
        offered = publisher.asked_again(file) if file.fault else file
        (landed,) = lake.land_files(load_settings(), [offered], Lines(print)).files
    if landed.outcome is Outcome.FAILED:
        raise FetchError(landed.error)
    if landed.outcome is Outcome.QUARANTINED:
        events.quarantined(file.name, landed.error or "")
        raise UntrustedFileError(f"{file.name} is in quarantine: {landed.error}")
    return str(landed.outcome)


def load_key(_context: TaskRunContext, parameters: dict[str, Any]) -> str:
    """What loading one file depends on."""
    settings = load_settings()
    return file_key(settings, "load", engine_for(settings).place, parameters["file"])


@task(
    task_run_name="load {file.name}",
    cache_key_fn=load_key,
    persist_result=True,
    timeout_seconds=FILE_SECONDS,
    **in_turn,
)
def load(file: PublishedFile) -> int:
    """Load the current version of one file into the warehouse; returns the rows loaded."""
    with deadline(FILE_SECONDS, f"loading {file.name}"):
        month = file.month
        report = warehouse.load(load_settings(), [file.dataset], month, month, None, Lines(print))
    for table, reason in report.failed.items():
        raise WarehouseError(f"{table} could not be loaded: {reason}")
    return report.rows


@task(task_run_name="dbt build", timeout_seconds=TRANSFORM_SECONDS, **in_turn)
def build(full_refresh: bool) -> TransformReport:
    """Build and test with dbt what is stale."""
    with deadline(TRANSFORM_SECONDS, "dbt"):
        return transform_stage(load_settings(), full_refresh, Lines(print))


@task(task_run_name="audit", timeout_seconds=DISCOVER_SECONDS, **in_turn)
def audit() -> Audit:
    """Read the ledger and the reconciliation."""
    return audit_stage(load_settings())


@dataclass
class Ingested:
    """What one ingest did; ``told`` are the faults that events have told of already."""

    new: list[str] = field(default_factory=list)
    republished: list[str] = field(default_factory=list)
    datasets: set[str] = field(default_factory=set)
    rows: int = 0
    faults: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    def add(self, file: PublishedFile, landed: State, loaded: State) -> None:
        """Count one file."""
        self.datasets.add(file.dataset)
        if not landed.is_completed():
            fault = outcome_of(landed)
            (self.told if isinstance(fault, UntrustedFileError) else self.faults).append(str(fault))
        elif landed.name != CACHED:
            outcome = outcome_of(landed)
            self.new += [file.name] * (outcome == Outcome.NEW)
            self.republished += [file.name] * (outcome == Outcome.REPUBLISHED)
        if not loaded.is_completed():
            self.faults.append(str(outcome_of(loaded)))
        elif loaded.name != CACHED:
            self.rows += outcome_of(loaded)


def ingest_name() -> str:
    """What a run of ingest is called: by its months."""
    months = runtime.flow_run.parameters
    if not months.get("start") and not months.get("end"):
        return "ingest what is new"
    return f"ingest {months.get('start') or 'the first'} to {months.get('end') or 'the newest'}"


@flow(log_prints=True, flow_run_name=ingest_name, persist_result=True)
async def ingest(
    datasets: list[Dataset] = [],  # noqa: B006
    start: Month | None = None,
    end: Month | None = None,
) -> Ingested | State:
    """Land and load every published file of the datasets and months, a task each.

    Args:
        datasets: Which datasets; all, or the usual ones of a night, when none are named.
        start: First month, as 2024-01; none for what a night usually looks at.
        end: Last month, included.

    """
    files = discover(datasets, _first_day(start), _first_day(end))
    held, loaded = look(files)
    done = Ingested()
    bar = await acreate_progress_artifact(0.0, key="loading", description=f"{len(files)} files")
    for i, file in enumerate(files):
        land_state = land.with_options(refresh_cache=file.name not in held)(file, return_state=True)
        # what landed before is loaded also where what is published now cannot be had
        load_state = load.with_options(refresh_cache=file.name not in loaded)(
            file, wait_for=[allow_failure(land_state)], return_state=True
        )
        done.add(file, land_state, load_state)
        await aupdate_progress_artifact(bar, 100.0 * (i + 1) / len(files))
    context = FlowRunContext.get()
    alone = context is not None and context.flow_run is not None and context.flow_run.deployment_id
    if alone and (done.faults or done.told):
        # there is nobody else in this process who would say so
        return _failed(done)
    return done


async def ingest_spread(
    datasets: list[Dataset], start: Month | None, end: Month | None, at_once: int
) -> Ingested:
    """Hand each month to the work pool as a run of ``ingest/ingest``, so many at once."""
    files = discover(datasets, _first_day(start), _first_day(end))
    months = sorted({f"{file.month:%Y-%m}" for file in files if file.month})
    turns = asyncio.Semaphore(at_once)
    done = Ingested(datasets={file.dataset for file in files})

    async def one(month: str) -> None:
        async with turns:
            run = await run_deployment(  # type: ignore[misc]
                "ingest/ingest",
                parameters={"datasets": datasets, "start": month, "end": month},
                flow_run_name=f"ingest {month}",
                tags=["backfill"],
            )
        state = run.state
        if state is None or not state.is_completed():
            fault = f"ingest {month}: {state.message or state.name if state else 'no state'}"
            told = state is not None and state.name == INCOMPLETE
            (done.told if told else done.faults).append(fault)

    await asyncio.gather(*(one(month) for month in months))
    return done


@flow(log_prints=True, flow_run_name="transform what is stale")
async def transform(full_refresh: bool = False) -> TransformReport:
    """Build what is stale with dbt, and leave its results to look at."""
    state = build(full_refresh, return_state=True)
    result = outcome_of(state)
    if isinstance(result, (TransformReport, TransformError)) and result.nodes:
        await artifacts.dbt_results(result.nodes)
    if not isinstance(result, TransformReport):
        raise result
    return result


@flow(log_prints=True)
async def nightly(
    datasets: list[Dataset] = [],  # noqa: B006
    start: Month | None = None,
    end: Month | None = None,
    full_refresh: bool = False,
    months_at_once: Annotated[int, Field(ge=0, le=64)] = 0,
) -> State | str:
    """Ingest, transform, audit; fail where a file cannot be trusted or a row is missing.

    Args:
        datasets: Which datasets; all, or the usual ones of a night, when none are named.
        start: First month, as 2024-01. None: the last three published months of yellow and green.
        end: Last month, included.
        full_refresh: Build every month anew, stale or not.
        months_at_once: 0 does all in one process; more hands months to the work pool's workers.

    """
    with take_turn():
        if months_at_once:
            done = await ingest_spread(datasets, start, end, months_at_once)
        else:
            ingested = await ingest(datasets, start, end)
            assert isinstance(ingested, Ingested)  # a subflow, not a deployment's run
            done = ingested
        built = await transform(full_refresh)
        result = audit()
    unbalanced = ledger_faults(result)
    if unbalanced:
        events.unbalanced(unbalanced, engine_for(load_settings()).place)
        done.told += unbalanced
    title = await _name_run(done)
    await artifacts.audited(result)
    lines = [
        f"new: {artifacts.listed(done.new)}",
        f"re-published: {artifacts.listed(done.republished)}",
        f"loaded: {done.rows:,} rows",
        f"built: {built.models} models, {built.tests} tests"
        if built.built
        else "nothing was stale",
        f"{result.file_rows:,} rows in {result.files} files: {result.valid_rows:,} valid,"
        f" {result.invalid_rows:,} flagged",
    ]
    await artifacts.summary(title, lines, done.faults + done.told)
    for line in lines:
        print(line)  # noqa: T201
    return _failed(done) if done.faults or done.told else title


def _failed(done: Ingested) -> State:
    """The state of a run that went wrong somewhere.

    It is not called Failed where events have told of every fault: once is enough.
    """
    message = "; ".join(done.faults + done.told)
    return Failed(message=message) if done.faults else Failed(name=INCOMPLETE, message=message)


async def _name_run(done: Ingested) -> str:
    """Call the run by what it did, and tag it with its datasets."""
    title = (
        f"nightly {datetime.now(UTC):%Y-%m-%d}:"
        f" {len(done.new)} new, {len(done.republished)} re-published"
    )
    run_id = runtime.flow_run.id
    if run_id:
        async with get_client() as client:
            await client.set_flow_run_name(run_id, title)
            tags = sorted({*runtime.flow_run.tags, *done.datasets})
            # the client has no method for this
            await client.request(
                "PATCH", "/flow_runs/{id}", path_params={"id": run_id}, json={"tags": tags}
            )
    return title


def _first_day(month: str | None) -> date | None:
    return date.fromisoformat(f"{month}-01") if month else None


def main() -> int:
    """Run one night here; return the exit code."""
    state: State = asyncio.run(nightly(return_state=True))  # type: ignore[arg-type]
    if state.is_completed():
        return 0
    fault = outcome_of(state)
    foreseen = isinstance(fault, MedallionError)
    sys.stderr.write(f"error: {fault if foreseen else state.message}\n")
    return fault.exit_code if foreseen else 1


if __name__ == "__main__":
    sys.exit(main())
