"""The id of the flow run that this process executes, known without asking Prefect's server.

``prefect.runtime`` asks the server for the root run of a subflow. It does so with a client of its
own that does not retry: if the server restarts at that moment, the load of a file would fail.
"""

from contextvars import ContextVar

from prefect.context import FlowRunContext

from ingestion.out_of_memory import exit_when_a_thread_has_no_memory

_run: ContextVar[str | None] = ContextVar("run", default=None)


def begin() -> None:
    """Remember the flow run that begins now as the one that this process executes.

    A subflow in the same process counts as part of its parent. A flow that a worker began does
    not, even if it has a parent.
    """
    exit_when_a_thread_has_no_memory()
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return
    if context.flow_run.parent_task_run_id is None or _run.get() is None:
        _run.set(str(context.flow_run.id))


def current() -> str | None:
    """The id of that flow run; None if no flow runs."""
    return _run.get()
