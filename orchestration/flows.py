"""The nightly flow: Prefect around the same plain functions as ``medallion run``.

Run it with ``python -m orchestration.flows``, or as the deployment ``nightly/nightly`` of
``prefect.yaml``. Flows are async because a sync flow waits a second at its end for its heartbeat
thread. The tasks are plain, blocking functions.
"""

import asyncio
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Annotated

from httpx import HTTPError
from prefect import allow_failure, flow, runtime
from prefect.artifacts import acreate_progress_artifact, aupdate_progress_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.deployments import run_deployment
from prefect.states import Failed
from pydantic import Field

from ingestion.errors import MedallionError, UntrustedFileError, UsageError
from ingestion.land import Outcome, rows_lost
from ingestion.progress import Lines, Quiet
from ingestion.settings import load_settings
from ingestion.sources.base import PublishedFile
from ingestion.warehouse import engine_for
from ingestion.words import on_one_line
from orchestration.flow import artifacts, events, runs
from orchestration.job.comparisons import summary as comparison_lines
from orchestration.job.figures import note_newest
from orchestration.job.last_run import recorded
from orchestration.job.pipeline import (
    in_scope,
    ledger_errors,
    missing_errors,
    passed_over_lines,
)
from orchestration.job.transform import TransformError, TransformReport
from orchestration.job.under_way import present_run
from orchestration.site.build import Built
from orchestration.tasks import (
    Dataset,
    acquire_run_lock,
    audit,
    build,
    check_state,
    discover,
    inventory,
    land,
    load,
    load_landed,
    make_site,
    outcome_of,
    publish,
    verify_bytes,
)

INCOMPLETE = "Incomplete"
CACHED = "Cached"  # Prefect's name for the state of a task that did not run

Month = Annotated[
    str, Field(pattern=r"^\d{4}-(0[1-9]|1[0-2])$", description="A month, written as 2024-01.")
]


@dataclass
class Ingested:
    """What one ingest did; ``alerted`` are the errors for which an event was emitted already."""

    new: list[str] = field(default_factory=list)
    republished: list[str] = field(default_factory=list)
    datasets: set[str] = field(default_factory=set)
    rows: int = 0
    errors: list[str] = field(default_factory=list)
    alerted: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    with_errors: set[str] = field(default_factory=set)  # the files that have these errors
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    newest_published: dict[str, date] = field(default_factory=dict)  # month, by dataset
    # the seconds of each file, retries included, by stage and file name
    file_seconds: dict[str, dict[str, float]] = field(default_factory=dict)

    def add(
        self, file: PublishedFile, landed: State, loaded: State, seconds: tuple[float, float]
    ) -> None:
        """Add the final states of one file's two tasks, and their seconds."""
        for stage, state, taken in zip(("land", "load"), (landed, loaded), seconds, strict=True):
            if state.name != CACHED:
                self.file_seconds.setdefault(stage, {})[file.name] = taken
        self.datasets.add(file.dataset)
        for state in (landed, loaded):
            if not state.is_completed():
                error = outcome_of(state)
                alerted = isinstance(error, UntrustedFileError)
                (self.alerted if alerted else self.errors).append(str(error))
                self.with_errors.add(file.name)
        if not landed.is_completed():
            is_untrusted = isinstance(outcome_of(landed), UntrustedFileError)
            outcome = Outcome.QUARANTINED if is_untrusted else Outcome.FAILED
        elif landed.name == CACHED:
            outcome = Outcome.UNCHANGED
        else:
            told, remarks = outcome_of(landed)
            outcome = Outcome(told)
            self.remarks += [f"{file.name}: {remark}" for remark in remarks]
            if outcome == Outcome.NEW:
                self.new.append(file.name)
            elif outcome == Outcome.REPUBLISHED:
                self.republished.append(file.name)
        self.outcomes[outcome] += 1
        note_newest(self.newest_published, file, outcome)
        if loaded.is_completed() and loaded.name != CACHED:
            self.rows += outcome_of(loaded)

    @property
    def is_good(self) -> bool:
        """Whether there was no error."""
        return not (self.errors or self.alerted)


def ingest_name() -> str:
    """The name of a run of ingest, made from its months."""
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
    """Land and load every published file of the datasets and months, each in tasks of its own.

    Args:
        datasets: Which datasets. If none are named: all of them if ``start`` is given, else the
            usual ones of a night.
        start: First month, as 2024-01. None: the months that a night usually takes.
        end: Last month, included.

    """
    runs.begin()
    first, last = _span(start, end)
    discovered = discover(datasets, first, last, return_state=True)
    if not discovered.is_completed():
        return _ingest_landed(outcome_of(discovered), datasets, first, last)
    files, errors = outcome_of(discovered)
    in_lake, loaded = check_state(files)
    done = Ingested(errors=errors)
    bar = await acreate_progress_artifact(0.0, key="loading", description=f"{len(files)} files")
    night = present_run(Quiet())
    todo = {file.name for file in files} - loaded
    night.stage("ingest", len(todo))
    for i, file in enumerate(files):
        begun = time.monotonic()
        land_state = land.with_options(refresh_cache=file.name not in in_lake)(
            file, return_state=True
        )
        landed_at = time.monotonic()
        # if landing fails, the version that landed before is still loaded
        load_state = load.with_options(refresh_cache=file.name not in loaded)(
            file, wait_for=[allow_failure(land_state)], return_state=True
        )
        seconds = (landed_at - begun, time.monotonic() - landed_at)
        done.add(file, land_state, load_state, seconds)
        if file.name in todo:
            night.file_done(file.name, "")
        await aupdate_progress_artifact(bar, 100.0 * (i + 1) / len(files))
    return _said(done)


def _ingest_landed(
    error: Exception, datasets: list[Dataset], start: date | None, end: date | None
) -> Ingested | State:
    """Load what landed before, because the publisher cannot be reached.

    Raises ``error`` if the lake is empty. Also raises it if ``error`` is a wrong setting: a person
    must correct the setting first, so nothing is loaded.
    """
    if not isinstance(error, MedallionError) or isinstance(error, UsageError):
        raise error
    loaded = load_landed(datasets, start, end, return_state=True)
    if loaded.is_completed() and outcome_of(loaded) is None:
        raise error
    done = Ingested(errors=[str(error)])
    rows = outcome_of(loaded)
    if loaded.is_completed():
        done.rows += rows
    else:
        (done.alerted if isinstance(rows, UntrustedFileError) else done.errors).append(str(rows))
    return _said(done)


def _said(done: Ingested) -> Ingested | State:
    """The result of an ingest; as a deployment's own run, a failed state if there were errors.

    As a subflow it returns its errors, and the flow around it fails.
    """
    context = FlowRunContext.get()
    alone = context is not None and context.flow_run is not None and context.flow_run.deployment_id
    return _failed(done) if alone and not done.is_good else done


async def ingest_spread(
    datasets: list[Dataset], start: Month | None, end: Month | None, at_once: int
) -> Ingested:
    """Ingest each month as a run of ``ingest/ingest`` on the work pool, ``at_once`` in parallel."""
    files, errors = discover(datasets, *_span(start, end))
    months = sorted({f"{file.month:%Y-%m}" for file in files if file.month})
    before, tables_before = inventory()
    turns = asyncio.Semaphore(at_once)
    night = present_run(Quiet())
    night.stage("ingest", len(months))
    done = Ingested(datasets={file.dataset for file in files}, errors=errors)
    # the run of a month reports the missing files of that month
    done.errors += [f"{f.name}: {f.error}" for f in files if f.is_missing and not f.month]

    async def one(month: str) -> None:
        async with turns:
            run = await run_deployment(  # type: ignore[misc]
                "ingest/ingest",
                parameters={"datasets": datasets, "start": month, "end": month},
                flow_run_name=f"ingest {month}",
                tags=["backfill"],
            )
        night.file_done(month, "")
        state = run.state
        if state is None or not state.is_completed():
            error = f"ingest {month}: {state.message or state.name if state else 'no state'}"
            alerted = state is not None and state.name == INCOMPLETE
            (done.alerted if alerted else done.errors).append(error)

    await asyncio.gather(*(one(month) for month in months))
    # results of a run stay on its worker; the lake and the warehouse show what the run did
    looked = inventory(return_state=True)
    if not looked.is_completed():  # nothing but the report needs the inventory
        done.errors.append(str(outcome_of(looked)))
        return done
    after, tables = outcome_of(looked)
    known = {landing.key for landing in before.values()}
    for table, landing in after.items():
        if table not in before:
            (done.republished if landing.key in known else done.new).append(landing.name)
            older = [x for x in before.values() if x.key == landing.key]
            lost = rows_lost(older[0], landing, load_settings().row_loss_pct) if older else ()
            done.remarks += [f"{landing.name}: {remark}" for remark in (*lost, *landing.remarks)]
        if table in tables - tables_before:
            done.rows += landing.row_count or 0
    return done


@flow(log_prints=True, flow_run_name="transform what is stale")
async def transform(
    full_refresh: bool = False,
    datasets: list[Dataset] = [],  # noqa: B006
    start: Month | None = None,
    end: Month | None = None,
) -> TransformReport:
    """Build what is stale with dbt, and write its results as an artifact.

    Args:
        full_refresh: Also build what is not stale: the named datasets and months, or everything.
        datasets: Which datasets are built anew. If none are named: all.
        start: First month that is built anew, as 2024-01. None: the first month there is.
        end: Last month that is built anew, included.

    """
    state = build(full_refresh, datasets, *_span(start, end), return_state=True)
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
    """Ingest, transform and audit; fail if a file cannot be trusted or a row is missing.

    Args:
        datasets: Which datasets. If none are named: all of them if ``start`` is given, else the
            usual ones of a night.
        start: First month, as 2024-01. None: the last three published months of the usual
            datasets.
        end: Last month, included.
        full_refresh: Also build months that are not stale: those of the named datasets and
            months, or every month if none are named.
        months_at_once: 0: one process does everything. More: the workers of the work pool do
            this many months in parallel.

    """
    runs.begin()
    first, last = _span(start, end)
    with recorded(load_settings(), "nightly", "flow", Lines(print), acquire_run_lock) as this:
        this.begin("ingest")
        if months_at_once:
            done = await ingest_spread(datasets, start, end, months_at_once)
        else:
            ingested = await ingest(datasets, start, end)
            assert isinstance(ingested, Ingested)  # a subflow, not a deployment's run
            done = ingested
        this.figures.outcomes = done.outcomes
        this.figures.newest_published = done.newest_published
        this.figures.loaded_rows = done.rows
        this.figures.file_seconds = done.file_seconds
        try:
            this.begin("transform")
            this.figures.built = built = await transform(full_refresh, datasets, start, end)
            this.begin("audit")
            this.figures.audit = result = audit()
            unbalanced = ledger_errors(result)
            # readers keep what they see until the ledger balances again
            this.begin("publish")
            this.figures.publication = published = None if unbalanced else publish(result)
        except MedallionError as exc:
            if done.is_good:
                raise
            done.errors.append(str(exc))
            this.errors += done.errors + done.alerted
            return _failed(done)
        if unbalanced:
            events.unbalanced(unbalanced, engine_for(load_settings()).label)
            done.alerted += unbalanced
        missing = in_scope(result.missing, datasets, first, last)
        done.errors += missing_errors(m for m in missing if m.name not in done.with_errors)
        this.errors += done.errors + done.alerted
    site = await _site(done)
    title = await _name_run(done)
    await artifacts.audited(result)
    lines = [
        f"new: {artifacts.listed(done.new)}",
        f"re-published: {artifacts.listed(done.republished)}",
        *(f"odd: {remark}" for remark in done.remarks),
        f"{'read in place' if load_settings().raw == 'in_place' else 'loaded'}: {done.rows:,} rows",
        f"built: {built.models} models, {built.tests} tests"
        if built.built
        else "nothing was stale",
        f"{result.file_rows:,} rows in {result.files} files: {result.valid_rows:,} valid,"
        f" {result.invalid_rows:,} flagged",
        *(f"passed over: {line}" for line in passed_over_lines(result.passed_over)),
        *comparison_lines(result.comparisons),
        *([published.summary] if published else []),
        *([site] if site else []),
    ]
    await artifacts.summary(title, lines, done.errors + done.alerted)
    for line in lines:
        print(on_one_line(line))  # noqa: T201
    return title if done.is_good else _failed(done)


@flow(log_prints=True, flow_run_name="verify what must not change")
async def verify(warehouse: bool = False, restore: bool = False) -> State | None:
    """Compare every file of the lake and of the publications with its sha256.

    Args:
        warehouse: Also compare every raw table with its file, value by value.
        restore: Download damaged files again and put them back.

    """
    runs.begin()
    found = verify_bytes(warehouse, restore)
    for line in (*found.summary, *found.errors):
        print(on_one_line(line))  # noqa: T201
    if not found.errors:
        return None
    more = f"; and {len(found.errors) - 1} more, listed in the log" if found.errors[1:] else ""
    return Failed(message=on_one_line(f"{found.errors[0]}{more}"))


def _failed(done: Ingested) -> State:
    """The final state of a run that had errors.

    Its name is Incomplete, not Failed, if events were emitted for every error already. So each
    error causes only one alert.
    """
    message = on_one_line("; ".join(dict.fromkeys(done.errors + done.alerted)))
    return Failed(message=message) if done.errors else Failed(name=INCOMPLETE, message=message)


async def _site(done: Ingested) -> str | None:
    """Make the site; return the line of the summary about it.

    A night is good if the extra ``site`` is not installed, and on Spark, where there is no site. It
    fails if the site cannot be made.
    """
    state = make_site(return_state=True)
    made = outcome_of(state)
    if not state.is_completed():
        done.errors.append(f"the site could not be made: {made}")
        return None
    if not isinstance(made, Built):
        return made and f"no site: {made}"
    await artifacts.site(load_settings().site_url or made.index.as_uri())
    return f"site {made.summary}"


async def _name_run(done: Ingested) -> str:
    """Name the run after what it did, tag it with its datasets, and return the name."""
    title = (
        f"nightly {datetime.now(UTC):%Y-%m-%d}:"
        f" {len(done.new)} new, {len(done.republished)} re-published"
    )
    run_id = runtime.flow_run.id
    if run_id:
        async with get_client() as client:
            await client.set_flow_run_name(run_id, title)
            tags = sorted({*runtime.flow_run.tags, *done.datasets})
            # the client has no method that sets tags
            await client.request(
                "PATCH", "/flow_runs/{id}", path_params={"id": run_id}, json={"tags": tags}
            )
    return title


def _span(start: str | None, end: str | None) -> tuple[date | None, date | None]:
    """The first days of both months; raise ``UsageError`` if ``start`` is after ``end``."""
    if start and end and start > end:
        raise UsageError(f"start {start} is after end {end}. Nothing was done.")
    first, last = (date.fromisoformat(f"{month}-01") if month else None for month in (start, end))
    return first, last


def main() -> int:
    """Run one night in this process; return the exit code."""
    try:
        # Prefect's types say what a flow returns; they do not know return_state
        state: State = asyncio.run(nightly(return_state=True))  # type: ignore[arg-type]
    except (RuntimeError, HTTPError) as exc:  # the flow's own errors are in its state
        sys.stderr.write(
            f"error: Prefect's server cannot be used: {exc}. Start the server that PREFECT_API_URL"
            " names, or unset PREFECT_API_URL: the flow then runs with a server of its own.\n"
        )
        return 1
    if state.is_completed():
        return 0
    error = outcome_of(state)
    foreseen = isinstance(error, MedallionError)
    sys.stderr.write(f"error: {error if foreseen else state.message}\n")
    return error.exit_code if foreseen else 1


if __name__ == "__main__":
    sys.exit(main())
