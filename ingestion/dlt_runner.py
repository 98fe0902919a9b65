"""Load packages of references: files that dlt moves without opening them.

dlt rewrites an imported Parquet file that has a column of null type, and so changes its bytes
(``should_normalize_arrow_schema``, https://github.com/dlt-hub/dlt/pull/2633). Most real months have
such a column. dlt imports JSON lines unchanged. So a job's file is a manifest of one such line: the
address of the file to load, and a folder for a copy. dlt extracts, normalizes, schedules and
retries the manifest like any file, and the destination's job moves the bytes.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import dlt
from dlt.common.destination import Destination
from dlt.common.destination.exceptions import DestinationTerminalException
from dlt.extract import DltSource
from dlt.load.exceptions import LoadClientJobRetry
from dlt.pipeline.exceptions import PipelineStepFailed

from ingestion.dlt_context import our_configuration
from ingestion.errors import MedallionError, UnreachableError
from ingestion.lake.reading.errors import Failure
from ingestion.lake.storage.store import Store
from ingestion.scratch import scratch_folder

FILE_HINT = "x-medallion-file"
# the one that dlt imports unread, and that its custom destinations take
MANIFEST_FORMAT: Literal["jsonl"] = "jsonl"
RESTORE = "medallion verify says how to restore it"


class UnreadableFileError(DestinationTerminalException):
    """The file of a job cannot be read. Another try with the same file would fail too."""


@dataclass(frozen=True)
class Reference:
    """One file to load: its address, its table, and what its job must know."""

    schema: str
    table_name: str
    url: str
    columns: Mapping[str, Any]  # dlt's column hints
    hint: Mapping[str, Any]


@dataclass(frozen=True)
class Done:
    """What the jobs did: why some failed, and the seconds that each took, both by table."""

    failed: dict[str, Failure]
    seconds: dict[str, float]


def run_references(
    pipeline_name: str,
    destination: Destination[Any, Any],
    references: list[Reference],
    dlt_dir: Path,
    place: str,
    workers: int,
) -> Done:
    """Load the files in one run of a dlt pipeline: one resource, table and job for each file.

    ``workers`` jobs run at once. A job that fails does not end the others.

    Raises ``MedallionError``, which names the ``place``, where the run as a whole fails. The
    working directory is new for each run and is deleted afterwards. So a killed run leaves no
    package that dlt would load in place of the next one
    (https://github.com/dlt-hub/dlt/issues/3023). What is loaded is known from the load records that
    the jobs write.
    """
    load = {"workers": workers, "raise_on_failed_jobs": False}
    with scratch_folder(dlt_dir) as folder, our_configuration(folder, load=load):
        sources = [
            _source(schema, [r for r in references if r.schema == schema], folder)
            for schema in dict.fromkeys(r.schema for r in references)
        ]
        pipeline = dlt.pipeline(
            pipeline_name,
            pipelines_dir=str(folder / "pipelines"),
            destination=destination,
            dataset_name="raw",
        )
        try:
            info = pipeline.run(sources)
        except PipelineStepFailed as exc:
            # when dlt fails to change its own tables, the reason is in the exception's cause
            reason = exc.exception.__cause__ or exc.exception
            cause = getattr(exc.exception, "failed_message", None) or str(reason)
            raise (UnreachableError if _may_pass(exc) else MedallionError)(
                f"Cannot write to {place}: dlt could not {exc.step}: {_reason(cause)}"
            ) from exc
    failed = {
        job.job_file_info.table_name: _failure(job.failed_message)
        for package in info.load_packages
        for job in package.jobs["failed_jobs"]
    }
    seconds = {
        job.table_name: (job.finished_at - job.started_at).total_seconds()
        for package in info.metrics.values()
        for load_metrics in package
        for job in load_metrics["job_metrics"].values()
        if job.finished_at
    }
    return Done(failed, seconds)


def _may_pass(exc: BaseException | None) -> bool:
    """Whether a server was unreachable: dlt gave up a job after its retries, or could not begin."""
    while exc is not None:
        if isinstance(exc, (LoadClientJobRetry, UnreachableError)):
            return True
        inner = getattr(exc, "exception", None)
        exc = inner if isinstance(inner, BaseException) else exc.__cause__ or exc.__context__
    return False


def _source(name: str, references: list[Reference], folder: Path) -> DltSource:
    @dlt.source(schema=dlt.Schema(name))
    def files() -> Any:
        for reference in references:
            manifest = folder / f"{reference.table_name}.{MANIFEST_FORMAT}"
            manifest.write_text(json.dumps({"url": reference.url, "scratch": str(folder)}))
            item = dlt.mark.with_file_import(
                str(manifest),
                MANIFEST_FORMAT,
                hints=dlt.mark.make_hints(
                    columns=dict(reference.columns),
                    additional_table_hints={FILE_HINT: dict(reference.hint)},
                ),
            )
            yield dlt.resource([item], name=reference.table_name, write_disposition="append")

    return files()


def referenced_url(manifest: str) -> str:
    """The address of the file that a job's manifest names."""
    return str(_read(manifest)["url"])


def _read(manifest: str) -> dict[str, str]:
    content: dict[str, str] = json.loads(Path(manifest).read_text())
    return content


@contextmanager
def lake_file(manifest: str, file_id: str) -> Iterator[str]:
    """The path of the file version that a job's manifest names, as ``landed_file`` gives it."""
    content = _read(manifest)
    with landed_file(content["url"], Path(content["scratch"]), file_id) as path:
        yield path


@contextmanager
def landed_file(url: str, scratch: Path, file_id: str) -> Iterator[str]:
    """The path of a file of the lake, after its sha256 was checked.

    From a bucket it is a copy in ``scratch``, which is deleted afterwards. So a raw table is only
    ever made from the bytes that were landed. Raises ``UnreadableFileError`` where the store
    answers and has other bytes or none, and ``DestinationTerminalException`` for any other error.
    """
    lake_url, _, name = url.rpartition("/")
    in_bucket = "://" in url
    path = scratch / name if in_bucket else Path(url)
    try:
        try:
            found = Store(lake_url).fetch(name, path) if in_bucket else _sha256(path)
        except FileNotFoundError:
            raise UnreadableFileError(f"{url} is gone: {RESTORE}") from None
        except MedallionError as exc:  # the store's SDK has already retried
            raise DestinationTerminalException(str(exc)) from exc
        if found != file_id:
            raise UnreadableFileError(
                f"{url} has changed since it was landed (sha256 {found}): {RESTORE}"
            )
        yield str(path)
    finally:
        if in_bucket:
            path.unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise
    except OSError as exc:
        raise MedallionError(f"{path} cannot be read: {exc.strerror}.") from exc


def _failure(message: str | None) -> Failure:
    """The failure of a job, from its traceback: dlt keeps the exception only as text."""
    unreadable = f"{UnreadableFileError.__module__}.{UnreadableFileError.__qualname__}: "
    return Failure(_reason(message), _last_line(message).startswith(unreadable))


def _reason(failure: str | None) -> str:
    """The last line of a traceback, without the name of the exception.

    Unprintable characters are replaced: a message about a damaged file may hold its bytes.
    """
    line = "".join(c if c.isprintable() else "?" for c in _last_line(failure))
    return re.sub(r"^[\w.]+(Exception|Error): ", "", line) or "it gave no reason"


def _last_line(text: str | None) -> str:
    lines = [line.strip() for line in (text or "").splitlines() if line.strip()]
    return lines[-1] if lines else ""
