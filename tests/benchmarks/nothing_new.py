"""A run that finds nothing new, and the help, beside ``import dlt``; whole processes."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks.support import report, side_by_side


def main() -> None:
    """Print the medians."""
    with tempfile.TemporaryDirectory() as folder:
        env = os.environ | {
            "MEDALLION_LAKE_URL": str(Path(folder) / "lake"),
            "MEDALLION_DUCKDB_PATH": str(Path(folder) / "warehouse.duckdb"),
            "MEDALLION_WORK_DIR": str(Path(folder) / "work"),
        }

        def command(*arguments: str) -> Callable[[], object]:
            return lambda: subprocess.run(
                [sys.executable, *arguments], env=env, check=True, stdout=subprocess.DEVNULL
            )

        run = command("-m", "orchestration.cli", "run", "--sample", "--quiet")
        run()
        medians = side_by_side(
            {
                "import dlt": command("-c", "import dlt"),
                "nothing new": run,
                "medallion --help": command("-m", "orchestration.cli", "--help"),
            },
            rounds=5,
        )
        report("nothing new", medians, "import dlt")


if __name__ == "__main__":
    main()
