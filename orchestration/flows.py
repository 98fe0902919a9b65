"""The nightly flow: Prefect around the same plain functions.

Run it by ``python -m orchestration.flows``; without a Prefect server it starts one of its own.
"""

from collections.abc import Sequence
from datetime import date

from prefect import flow, task

from ingestion.errors import MedallionError
from ingestion.lake import LandReport
from ingestion.lake import land as land_stage
from ingestion.progress import Lines
from ingestion.settings import load_settings
from ingestion.warehouse import LoadReport
from ingestion.warehouse import load as load_stage
from orchestration.audit import Audit
from orchestration.audit import audit as audit_stage
from orchestration.stages import land_faults, ledger_faults, load_faults
from orchestration.transform import TransformReport
from orchestration.transform import transform as transform_stage


@task(retries=3, log_prints=True)
def land(datasets: Sequence[str], start: date | None, end: date | None) -> LandReport:
    """Land what is published and new in the lake."""
    return land_stage(load_settings(), datasets, start, end, Lines(print))


@task(retries=3, log_prints=True)
def load(datasets: Sequence[str], start: date | None, end: date | None) -> LoadReport:
    """Load what the lake holds and the warehouse does not."""
    return load_stage(load_settings(), datasets, start, end, None, Lines(print))


@task(retries=3, log_prints=True)
def transform(full_refresh: bool) -> TransformReport:
    """Build what is stale with dbt."""
    return transform_stage(load_settings(), full_refresh, Lines(print))


@task(log_prints=True)
def audit() -> Audit:
    """Read the ledger and the reconciliation."""
    return audit_stage(load_settings())


@flow(log_prints=True)
def nightly(
    datasets: Sequence[str] = (),
    start: date | None = None,
    end: date | None = None,
    full_refresh: bool = False,
) -> None:
    """Land, load, transform, audit; fail where a file cannot be trusted or a row is missing."""
    landed = land(datasets, start, end)
    loaded = load(datasets, start, end)
    transform(full_refresh)
    result = audit()
    print(f"{result.file_rows:,} rows in {result.files} files")  # noqa: T201
    faults = land_faults(landed) + load_faults(loaded) + ledger_faults(result)
    if faults:
        raise MedallionError("; ".join(faults))


if __name__ == "__main__":
    nightly()
