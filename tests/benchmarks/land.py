"""Landing a local 60 MB file, beside shutil.copy plus sha256 of the same file."""

import hashlib
import shutil
import tempfile
from datetime import date
from itertools import count
from pathlib import Path

from ingestion.land import land
from tests.benchmarks.support import report, settings_in, side_by_side, write_month


def main() -> None:
    """Print the medians."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        path = write_month(root / "published", "yellow", date(2024, 1, 1), 2_900_000)
        runs = count()

        def copy_and_hash() -> None:
            copy = root / f"copy-{next(runs)}"
            shutil.copy(path, copy)
            with copy.open("rb") as file:
                hashlib.file_digest(file, "sha256")

        def land_it() -> None:
            land(settings_in(root / f"place-{next(runs)}", root / "published"))

        land_it()  # the imports
        medians = side_by_side({"copy and sha256": copy_and_hash, "land": land_it})
        report(f"land {path.stat().st_size / 1e6:.0f} MB", medians, "copy and sha256")
        fixed = medians["land"] - 2 * medians["copy and sha256"]
        print(f"  beyond twice the copy: {fixed:.2f} s")


if __name__ == "__main__":
    main()
