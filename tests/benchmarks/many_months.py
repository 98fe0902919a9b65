"""Landing and loading one small month more, on top of 10 and of 300."""

import os
import shutil
import tempfile
from datetime import date
from functools import partial
from pathlib import Path

from ingestion.land import land
from ingestion.load import load
from ingestion.sources.files.publisher import months_between
from tests.benchmarks.support import report, settings_in, timed, write_month

ROUNDS = 3
ALREADY = (10, 300)


def main() -> None:
    """Print the medians."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCHMARK_DIR")) as folder:
        seconds: dict[str, list[float]] = {}
        roots = {n: Path(folder) / str(n) for n in ALREADY}
        months = months_between(date(2015, 1, 1), date(2024, 12, 1))
        for n, root in roots.items():
            for i in range(n):
                dataset = ("yellow", "green", "fhv")[i % 3]
                write_month(root / "published", dataset, months[i // 3], 100)
            settings = settings_in(root, root / "published")
            land(settings)
            load(settings)
        for round_ in range(ROUNDS):
            for n, root in roots.items():
                month = months_between(date(2025, 1, 1), date(2025, 12, 1))[round_]
                write_month(root / "published", "yellow", month, 100)
                settings = settings_in(root, root / "published")
                for name, stage in (("land", land), ("load", load)):
                    once = timed(partial(stage, settings))
                    seconds.setdefault(f"{name} on top of {n}", []).append(once)
        middle = {name: sorted(times)[len(times) // 2] for name, times in seconds.items()}
        report("one small month more", middle, f"land on top of {ALREADY[0]}")
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
