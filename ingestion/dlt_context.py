"""The configuration that dlt runs with: only our own values.

By default dlt reads the environment (bare names such as ``FULL_REFRESH`` and ``DEV_MODE`` too) and
``.dlt/*.toml`` in the working directory and in home. These may be meant for other projects.
https://dlthub.com/docs/general-usage/credentials/setup#available-config-providers
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from dlt.common.configuration.container import Container
from dlt.common.configuration.providers import ConfigProvider, CustomLoaderDocProvider
from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext
from dlt.common.runtime.run_context import RunContext

# the only settings taken from the environment: timeouts and retries of requests to a publisher
REQUESTS = ("timeout", "max_attempts", "backoff_factor", "max_retry_delay")


class _OurContext(RunContext):
    """A dlt run context whose only configuration is the given values."""

    def __init__(self, run_dir: Path, values: dict[str, Any]):
        super().__init__(str(run_dir))
        self._values = values

    def initial_providers(self) -> list[ConfigProvider]:
        return [CustomLoaderDocProvider("medallion", lambda: self._values)]


@contextmanager
def our_configuration(run_dir: Path, **values: Any) -> Iterator[None]:
    """Configure dlt by these values only, for the length of a ``with`` block.

    ``values`` are keyed by dlt's sections. Telemetry and logs are off, and names stay as published.
    """
    runtime = {
        "dlthub_telemetry": False,
        "log_level": "CRITICAL",
        # on a signal dlt would end only its own step, and the run would go on
        "intercept_signals": False,
    }
    for name in REQUESTS:
        if value := os.environ.get(f"RUNTIME__REQUEST_{name.upper()}"):
            runtime[f"request_{name}"] = value
    ours = {
        "runtime": runtime,
        "schema": {"naming": "direct"},
        "restore_from_destination": False,
        **values,
    }
    context = PluggableRunContext(_OurContext(run_dir, ours))
    with Container().injectable_context(context):
        yield


def import_pandas() -> None:
    """Import pandas as a whole, where it is installed; waits for a thread that does so now.

    pyarrow imports it at its first array, and DuckDB at its first parameter, in the thread of any
    file. dlt asks whether data is a frame of the pandas that it finds, and raises
    ``AttributeError`` if that is still being imported.
    """
    with suppress(ImportError):
        import_module("pandas")
