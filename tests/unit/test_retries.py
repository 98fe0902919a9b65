"""What the flow tries again: what may pass with nothing changed, and nothing else."""

import pytest
from prefect.client.schemas.objects import TaskRun
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
from orchestration.job.transform import TransformError
from orchestration.tasks import (
    WITHOUT_END,
    acquire_run_lock,
    audit,
    build,
    check_state,
    discover,
    inventory,
    land,
    load,
    may_pass,
)


def after(tries: int) -> TaskRun:
    """A task that has been tried so often."""
    return TaskRun(task_key="load", dynamic_key="0", run_count=tries)


@pytest.mark.parametrize(
    "fault",
    [
        FetchError("gone"),
        UnreachableError("away"),
        TransformError("fct_trips: server closed the connection unexpectedly"),
        ConnectionResetError(),
        TimeoutError(),
    ],
    ids=lambda fault: type(fault).__name__,
)
def test_what_may_pass_is_tried_again_three_times(fault: Exception) -> None:
    tried = [may_pass(None, after(tries), Failed(data=fault)) for tries in (1, 2, 3, 4)]
    assert tried == [True, True, True, False]


def test_who_holds_the_warehouse_is_waited_for_without_end() -> None:
    busy = Failed(data=WarehouseBusyError("held"))
    assert may_pass(None, after(4), busy)
    assert may_pass(None, after(WITHOUT_END), busy)


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
    assert may_pass(None, after(1), Failed(data=fault)) is False


@pytest.mark.parametrize("task", [discover, land], ids=lambda t: t.name)
def test_a_task_without_the_warehouse_has_three_tries_more(task: object) -> None:
    assert task.retries == 3
    assert task.retry_delay_seconds == [10, 20, 40]


@pytest.mark.parametrize(
    "task", [acquire_run_lock, check_state, inventory, load, build, audit], ids=lambda t: t.name
)
def test_a_task_at_the_warehouse_waits_for_who_holds_it(task: object) -> None:
    assert task.retries == WITHOUT_END
    # whoever holds it for longer is not waited for long when they are done
    assert task.retry_delay_seconds == [10, 20, 40, 5]


@pytest.mark.parametrize(
    "task", [discover, check_state, inventory, land, load, build, audit], ids=lambda t: t.name
)
def test_every_task_has_pauses_a_timeout_and_its_prints_logged(task: object) -> None:
    assert task.retry_delay_seconds[:3] == [10, 20, 40]
    assert task.retry_jitter_factor == 0.5
    assert task.retry_condition_fn is may_pass
    assert task.timeout_seconds
    assert task.log_prints
