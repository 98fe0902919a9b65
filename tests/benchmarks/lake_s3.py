"""Landing a file in S3, beside boto3's own multipart upload of it; a catalog of 600 files there.

S3 is SeaweedFS on this machine, which takes turns with us for the processors.
"""

import tempfile
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import count
from pathlib import Path

import boto3

from ingestion.lake.catalog import Catalog
from ingestion.lake.storage.store import open_lake
from ingestion.land import land
from tests.benchmarks.support import report, settings_in, side_by_side, timed, write_month
from tests.support.stores import BUCKET, fresh_environment, scratch, store_server

FILES = 600


def main() -> None:
    """Print the medians."""
    with ExitStack() as stack:
        server = stack.enter_context(store_server("s3", stack.enter_context(scratch())))
        stack.enter_context(fresh_environment(server.environment))
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        client = boto3.client("s3")
        runs = count()
        for rows in (2_900_000, 14_500_000):
            published = root / str(rows)
            path = write_month(published, "yellow", date(2024, 1, 1), rows)

            def upload(path: Path = path) -> None:
                client.upload_file(str(path), BUCKET, f"boto3/{next(runs)}")

            def land_it(published: Path = published) -> None:
                settings = settings_in(root / f"place-{next(runs)}", published)
                land(settings.model_copy(update={"lake_url": server.new_lake()}))

            upload()  # the first volumes
            land_it()  # the imports
            medians = side_by_side({"boto3 upload_file": upload, "land": land_it}, rounds=9)
            report(f"land {path.stat().st_size / 1e6:.0f} MB in S3", medians, "boto3 upload_file")

        settings = settings_in(root / "place", root / "2900000")
        settings = settings.model_copy(update={"lake_url": server.new_lake()})
        land(settings)
        catalog = Catalog(open_lake(settings))
        (landing,) = catalog.landings
        for n in range(FILES - 1):
            landed_at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=n)
            catalog.append(replace(landing, landed_at=landed_at, file_id=f"{n:064x}"))

        def read() -> None:
            assert len(Catalog(settings.lake_url).landings) == FILES

        print(f"\ncatalog of {FILES} landings: {timed(read):.2f} s")


if __name__ == "__main__":
    main()
