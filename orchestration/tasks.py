"""The tasks of the flows: their work for one file or for a whole night, and their retries.

Each task wraps a plain, blocking function.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import date
from typing import Annotated, Any

from prefect import task
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext
from pydantic import AfterValidator, WithJsonSchema

from ingestion import land as lake
from ingestion import load as warehouse
from ingestion.errors import (
    FetchError,
    MedallionError,
    MissingExtraError,
    NotLoadedError,
    UntrustedFileError,
    UsageError,
    WarehouseBusyError,
)
from ingestion.lake.catalog import Catalog, FileVersion
from ingestion.land import Outcome
from ingestion.load import LoadReport
from ingestion.progress import Lines
from ingestion.publications.write import Published
from ingestion.published import published_by_source
from ingestion.settings import dataset_names, load_settings
from ingestion.sources import registry
from ingestion.sources.base import DOCUMENT, PublishedFile
from ingestion.sources.files import publisher
from ingestion.warehouse import engine_for
from orchestration.flow import events
from orchestration.flow.caching import cache_key
from orchestration.flow.deadline import deadline
from orchestration.job.audit import Audit
from orchestration.job.audit import audit as audit_stage
from orchestration.job.pipeline import load_errors
from orchestration.job.publish import publish as publish_stage
from orchestration.job.transform import TransformReport
from orchestration.job.transform import transform as transform_stage
from orchestration.job.under_way import only_run, present_run
from orchestration.job.verify import Verification
from orchestration.job.verify import verify as verify_stage
from orchestration.site.build import Built, NoSiteError, build_site

MINUTE, HOUR = 60, 3600
DISCOVER_SECONDS = 10 * MINUTE
FILE_SECONDS = 1 * HOUR
TRANSFORM_SECONDS = 6 * HOUR
TRY_AGAIN_SECONDS = [10.0, 20.0, 40.0]
# Prefect has no unlimited retries. It repeats the last delay.
WITHOUT_END = 100_000
TURN_POLL_SECONDS = 5.0


def _known(name: str) -> str:
    names = dataset_names()
    if name not in names:
        raise ValueError(f"there is no dataset {name}; there are {', '.join(names)}")
    return name


def _schema() -> dict[str, Any]:
    try:
        return {"type": "string", "enum": list(registry.datasets())}
    except UsageError:  # the run itself reports the error, in one line
        return {"type": "string"}


# a parameter of the flows: the name of a known dataset
Dataset = Annotated[
    str,
    AfterValidator(_known),
    WithJsonSchema(_schema()),
]


def outcome_of(state: State) -> Any:
    """What a task returned or raised; gives it without await, also inside an event loop."""
    # Prefect's own engine passes _sync, but no overload declares it
    return state.result(raise_on_failure=False, _sync=True)  # type: ignore[call-overload]


def may_pass(_task: Any, run: TaskRun, state: State) -> bool:
    """Whether to retry: only if the next try may succeed although nobody changed anything.

    While another process holds the warehouse, retry without limit: that process is at work.
    Retry any other error a few times; the waits for the warehouse count as tries too.
    """
    error = outcome_of(state)
    if isinstance(error, WarehouseBusyError):
        return True
    if run.run_count > len(TRY_AGAIN_SECONDS):
        return False
    if isinstance(error, MedallionError):
        return error.may_pass
    # of the unexpected errors: a network or a disk may recover, a timeout may not come again
    return isinstance(error, OSError)


tries: dict[str, Any] = {
    "retries": len(TRY_AGAIN_SECONDS),
    "retry_delay_seconds": TRY_AGAIN_SECONDS,
    "retry_jitter_factor": 0.5,
    "retry_condition_fn": may_pass,
    "log_prints": True,
}
# for tasks that use the warehouse, which another process may hold
in_turn = tries | {
    "retries": WITHOUT_END,
    "retry_delay_seconds": [*TRY_AGAIN_SECONDS, TURN_POLL_SECONDS],
}


@task(task_run_name="acquire run lock", persist_result=False, **in_turn)
def acquire_run_lock() -> ExitStack:
    """Wait until no other run is active, whoever started it and on whatever machine.

    Returns the lock. It keeps other runs out until it is closed.
    """
    turn = ExitStack()
    try:
        turn.enter_context(only_run(load_settings()))
    except WarehouseBusyError as exc:
        print(f"waiting: {exc}")  # noqa: T201  # a print is a line of the task's log
        raise
    return turn


@task(task_run_name="discover", timeout_seconds=DISCOVER_SECONDS, **tries)
def discover(
    datasets: list[Dataset], start: date | None, end: date | None
) -> tuple[list[PublishedFile], list[str]]:
    """Ask each publisher for its files, one HEAD a file; emit events for overdue datasets.

    Returns the files, and the errors of the publishers that could not be asked, tries included.
    """
    settings = load_settings()
    files, errors = published_by_source(settings, datasets, start, end, Lines(print))
    for error in errors:
        if error.may_pass and _may_try_again():
            raise error
    if start is None and end is None:
        silent = [
            silence
            for source in settings.publishers(datasets)
            for silence in publisher.overdue(source, files, settings.stale_after_days)
        ]
        for silence in silent:
            events.source_stale(silence)
        months = [file for file in files if file.month]
        # if a file is missing or could not be asked about, it is not known to be fresh
        if months and not (silent or errors or any(file.error for file in months)):
            events.sources_fresh()
    return files, [str(error) for error in errors]


def _may_try_again() -> bool:
    context = TaskRunContext.get()
    return context is not None and context.task_run.run_count <= len(TRY_AGAIN_SECONDS)


@task(
    task_run_name="check state of lake and warehouse",
    persist_result=False,  # a retry must see their present state
    timeout_seconds=DISCOVER_SECONDS,
    **in_turn,
)
def check_state(files: list[PublishedFile]) -> tuple[set[str], set[str]]:
    """Two sets of file names: those whose published version is landed, and those loaded and in use.

    Raises ``MedallionError`` if the warehouse shows an orphan: a version that the lake does not
    know.
    """
    settings = load_settings()
    catalog = Catalog(settings.lake_url)
    warehouse.check_lake(settings, catalog)
    shown = warehouse.tables_in_use(settings)
    landed = {file.name: file.key for file in files if lake.is_landed(catalog, file)}
    wanted = {version.key: version.table_name for version in catalog.current()}
    used = {v.key: v.table_name for v in catalog.versions() if v.table_name in shown}
    if any(used.get(decision.key) != wanted.get(decision.key) for decision in catalog.decisions):
        # loading any file also brings the read views in line with the decisions
        return set(landed), set()
    loaded = {name for name, key in landed.items() if used.get(key) == wanted.get(key)}
    return set(landed), loaded


@task(
    task_run_name="list what is landed and loaded",
    persist_result=False,
    timeout_seconds=DISCOVER_SECONDS,
    **in_turn,
)
def inventory() -> tuple[dict[str, FileVersion], set[str]]:
    """The current file versions in the lake by raw table, and the raw tables that exist."""
    settings = load_settings()
    catalog = Catalog(settings.lake_url)
    warehouse.check_lake(settings, catalog)
    current = catalog.current()
    return {x.table_name: x for x in current}, warehouse.all_tables_loaded(settings)


def land_key(_context: TaskRunContext, parameters: dict[str, Any]) -> str:
    """The cache key of landing one file."""
    settings = load_settings()
    return cache_key(settings, "land", settings.lake_url, parameters["file"])


@task(
    task_run_name="land {file.name}",
    cache_key_fn=land_key,
    persist_result=True,
    timeout_seconds=FILE_SECONDS,
    **tries,
)
def land(file: PublishedFile) -> tuple[str, tuple[str, ...]]:
    """Land one published file in the lake, bytes unchanged.

    Returns the outcome, such as new or re-published, and remarks on what is odd about the file.
    """
    with deadline(FILE_SECONDS, f"landing {file.name}"):
        # a file that could not be asked about at discovery may be there by now
        offered = file
        if file.error:
            offered = publisher.asked_again(file, registry.datasets()[file.dataset])
        (landed,) = lake.land_files(load_settings(), [offered], Lines(print)).files
        if offered.file_format == DOCUMENT:
            _land_derived()
    if landed.outcome is Outcome.FAILED:
        # no retry for a missing file: it will not appear within minutes
        kind = MedallionError if offered.is_missing else FetchError
        raise kind(f"{file.name}: {landed.error}")
    if landed.outcome is Outcome.QUARANTINED:
        events.quarantined(file.name, landed.error or "")
        raise UntrustedFileError(f"{file.name} is in quarantine: {landed.error}")
    if landed.remarks:
        events.odd(file.name, landed.remarks)
    return str(landed.outcome), landed.remarks


def _land_derived() -> None:
    """Land the rows that are read out of documents; raise if that failed."""
    derived = lake.land_derived(load_settings(), Lines(print))
    if faulty := derived.of(Outcome.FAILED, Outcome.QUARANTINED):
        raise FetchError("; ".join(f"{f.published.name}: {f.error}" for f in faulty))


def load_key(_context: TaskRunContext, parameters: dict[str, Any]) -> str:
    """The cache key of loading one file."""
    settings = load_settings()
    return cache_key(settings, "load", engine_for(settings).label, parameters["file"])


@task(
    task_run_name="load {file.name}",
    cache_key_fn=load_key,
    persist_result=True,
    timeout_seconds=FILE_SECONDS,
    **in_turn,
)
def load(file: PublishedFile) -> int:
    """Load the current version of one file into the warehouse; return the rows loaded."""
    with deadline(FILE_SECONDS, f"loading {file.name}"):
        month = file.month
        report = warehouse.load(load_settings(), [file.dataset], month, month, None, Lines(print))
    view = registry.datasets()[file.dataset].view
    stem = f"{view}_{month:%Y_%m}__" if month else f"{file.dataset}__"
    # every load also loads the reference files; their own tasks report their errors
    failed = {t: reason for t, reason in report.failed.items() if t.startswith(stem)}
    return rows_of(replace(report, failed=failed), file.name)


@task(
    task_run_name="load what has landed",
    persist_result=False,
    timeout_seconds=TRANSFORM_SECONDS,
    **in_turn,
)
def load_landed(datasets: list[Dataset], start: date | None, end: date | None) -> int | None:
    """Load what the lake holds, when the publisher cannot be asked; None if the lake is empty."""
    settings = load_settings()
    if not Catalog(settings.lake_url).current():
        return None
    with deadline(TRANSFORM_SECONDS, "loading what has landed"):
        report = warehouse.load(settings, datasets, start, end, None, Lines(print))
    return rows_of(report, "what has landed")


def rows_of(report: LoadReport, what: str) -> int:
    """The rows loaded; raise if a version could not be loaded.

    Raises ``UntrustedFileError`` if all these versions are in quarantine, else ``NotLoadedError``.
    """
    if not report.failed:
        return report.rows
    reason = "; ".join(load_errors(report))
    if report.failed.keys() - report.quarantined:
        raise NotLoadedError(reason)
    events.quarantined(what, f"it could not be loaded: {reason}")
    raise UntrustedFileError(reason)


@task(task_run_name="dbt build", timeout_seconds=TRANSFORM_SECONDS, **in_turn)
def build(
    full_refresh: bool,
    datasets: Sequence[Dataset] = (),
    start: date | None = None,
    end: date | None = None,
) -> TransformReport:
    """Build and test with dbt what is stale; with ``full_refresh``, also the named months."""
    with deadline(TRANSFORM_SECONDS, "dbt"):
        progress = present_run(Lines(print))
        return transform_stage(load_settings(), full_refresh, progress, datasets, start, end)


@task(task_run_name="audit", timeout_seconds=DISCOVER_SECONDS, **in_turn)
def audit() -> Audit:
    """Read the ledger and the reconciliation."""
    return audit_stage(load_settings())


@task(task_run_name="publish", timeout_seconds=TRANSFORM_SECONDS, **in_turn)
def publish(result: Audit) -> Published | None:
    """Publish the marts, which have passed their tests; None if these settings publish nothing."""
    with deadline(TRANSFORM_SECONDS, "publishing the marts"):
        progress = present_run(Lines(print))
        return publish_stage(load_settings(), result, "nightly", progress)


@task(task_run_name="make the site", persist_result=False, timeout_seconds=TRANSFORM_SECONDS)
def make_site() -> Built | str | None:
    """Make the site from what readers see; None if these settings make no site.

    The result is a text if none can be made: without the extra ``site``, and on Spark.
    """
    settings = load_settings()
    if settings.site_path is None:
        return None
    try:
        with deadline(TRANSFORM_SECONDS, "making the site"):
            return build_site(settings, say=Lines(print).say)
    except (MissingExtraError, NoSiteError) as exc:
        return str(exc)


@task(task_run_name="verify bytes", persist_result=False, log_prints=True)
def verify_bytes(warehouse: bool, restore: bool) -> Verification:
    """Read every byte that must not change; this task has no time limit."""
    return verify_stage(load_settings(), restore, warehouse, Lines(print))
