"""Which run of Prefect's this process is at work on, known without asking the server.

``prefect.runtime`` asks the server for what it calls the root of a subflow, with a client of its
own, which gives up at once when the server is away: a restart would then cost a file its load.
"""

from contextvars import ContextVar

from prefect.context import FlowRunContext

_run: ContextVar[str | None] = ContextVar("run", default=None)


def begin() -> None:
    """Take the flow run that begins here for the one that this process is at work on.

    A flow that another one calls here belongs to that one; one that a worker began does not.
    """
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return
    if context.flow_run.parent_task_run_id is None or _run.get() is None:
        _run.set(str(context.flow_run.id))


def current() -> str | None:
    """The id of that flow run; none where no flow runs."""
    return _run.get()
