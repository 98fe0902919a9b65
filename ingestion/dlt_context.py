"""The configuration that dlt runs with: ours alone, whatever lies about.

dlt asks the environment (bare names such as ``FULL_REFRESH`` and ``DEV_MODE`` too) and the files
``.dlt/*.toml`` of the working directory and of home. On a machine with other projects these are
not about us. https://dlthub.com/docs/general-usage/credentials/setup#available-config-providers
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dlt.common.configuration.container import Container
from dlt.common.configuration.providers import ConfigProvider, CustomLoaderDocProvider
from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext
from dlt.common.runtime.run_context import RunContext

# of the environment's, what is the user's to set: how patiently a publisher is asked
REQUESTS = ("timeout", "max_attempts", "backoff_factor", "max_retry_delay")


class _OurContext(RunContext):
    """A run context that knows no configuration but the values that it is given."""

    def __init__(self, run_dir: Path, values: dict[str, Any]):
        super().__init__(str(run_dir))
        self._values = values

    def initial_providers(self) -> list[ConfigProvider]:
        return [CustomLoaderDocProvider("medallion", lambda: self._values)]


@contextmanager
def our_configuration(run_dir: Path, **values: Any) -> Iterator[None]:
    """Let dlt be configured by these values only, for the length of a ``with`` block.

    ``values`` are by dlt's sections. Nothing is reported home or logged, and names stay as they
    are published.
    """
    runtime = {
        "dlthub_telemetry": False,
        "log_level": "CRITICAL",
        # dlt would end its own step, and the run would then go on
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
