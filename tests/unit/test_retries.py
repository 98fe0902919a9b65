"""What the flow tries again: what may pass with nothing changed, and nothing else."""

import pytest
from prefect.states import Failed

from ingestion.errors import (
    FetchError,
    MedallionError,
    UnreachableError,
    UntrustedFileError,
    UsageError,
    WarehouseBusyError,
    WarehouseError,
)
from orchestration.flows import audit, build, discover, land, load, may_pass
from orchestration.transform import TransformError


@pytest.mark.parametrize(
    "fault",
    [
        FetchError("gone"),
        UnreachableError("away"),
        WarehouseBusyError("held"),
        TransformError("fct_trips: server closed the connection unexpectedly"),
        ConnectionResetError(),
        TimeoutError(),
    ],
    ids=lambda fault: type(fault).__name__,
)
def test_what_may_pass_is_tried_again(fault: Exception) -> None:
    assert may_pass(None, None, Failed(data=fault)) is True


@pytest.mark.parametrize(
    "fault",
    [
        UntrustedFileError("no Parquet"),
        UsageError("no such folder"),
        WarehouseError("column odd_one"),
        MedallionError("does not balance"),
        TransformError("unique_fct_trips_trip_id: Got 1 result"),
        TypeError("a bug"),
    ],
    ids=lambda fault: type(fault).__name__,
)
def test_what_stays_is_not(fault: Exception) -> None:
    assert may_pass(None, None, Failed(data=fault)) is False


@pytest.mark.parametrize("task", [discover, land, load, build, audit], ids=lambda t: t.name)
def test_every_task_has_three_tries_more_a_timeout_and_its_prints_logged(task: object) -> None:
    assert task.retries == 3
    assert task.retry_delay_seconds == [10, 20, 40]
    assert task.retry_jitter_factor == 0.5
    assert task.retry_condition_fn is may_pass
    assert task.timeout_seconds
    assert task.log_prints
