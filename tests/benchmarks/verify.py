"""Verifying a lake of 2 GB in a folder, beside reading and hashing its files plainly."""

import hashlib
import shutil
import tempfile
from datetime import date
from pathlib import Path

from ingestion.lake import land
from ingestion.verification import verify
from tests.benchmarks.support import report, settings_in, side_by_side, write_month

MONTHS = 6


def main() -> None:
    """Print the medians; both read files that the system has just read."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        path = write_month(root / "published", "yellow", date(2024, 1, 1), 15_000_000)
        for month in range(2, MONTHS + 1):
            shutil.copy(path, path.with_name(f"yellow_tripdata_2024-{month:02}.parquet"))
        settings = settings_in(root, root / "published")
        land(settings)
        files = list((root / "lake" / "raw").rglob("*.parquet"))

        def plainly() -> None:
            for file in files:
                with file.open("rb") as opened:
                    hashlib.file_digest(opened, "sha256")

        medians = side_by_side({"read and sha256": plainly, "verify": lambda: verify(settings)})
        total = sum(p.stat().st_size for p in files)
        report(f"verify {total / 1e9:.1f} GB", medians, "read and sha256")


if __name__ == "__main__":
    main()
