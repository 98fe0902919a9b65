"""Verifying a lake of 10 GB in a folder, beside reading and hashing its files plainly."""

import hashlib
import tempfile
from datetime import date
from pathlib import Path

from ingestion.lake.verify import verify
from ingestion.land import land
from tests.benchmarks.support import report, settings_in, side_by_side, write_month

MONTHS = 30


def main() -> None:
    """Print the medians; both read files that the system has just read."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        path = write_month(root / "published", "yellow", date(2022, 1, 1), 15_000_000)
        settings = settings_in(root, root / "published")
        for month in range(MONTHS):  # one at a time, so that the disk need not hold all twice
            name = f"yellow_tripdata_{2022 + month // 12}-{month % 12 + 1:02}.parquet"
            path = path.rename(path.with_name(name))
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
