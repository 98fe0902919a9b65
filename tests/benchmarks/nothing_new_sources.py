"""A run that finds nothing new at any source that comes with the project, beside ``import dlt``.

The sources are on one server on loopback, and the documents in a folder, as two of them have an
address of their own. TLC's reports and documents are real: ``MEDALLION_TEST_DATA`` names the folder
that holds them.
"""

import json
import os
import subprocess
import sys
import tempfile
from datetime import UTC, date, datetime
from email.utils import formatdate
from functools import cache
from pathlib import Path
from shutil import copyfile
from urllib.parse import parse_qsl, unquote, urlsplit

from ingestion.sources import registry
from ingestion.sources.files.publisher import months_between
from ingestion.sources.tlc.datasets import TRIP_DATASETS
from tests.benchmarks.support import medallion, report, side_by_side, write_month
from tests.support.api import Asked
from tests.support.http_server import QuietHandler, on_loopback
from tests.support.socrata import (
    BASE_REPORT,
    BASES,
    ZONES,
    base_report,
    records,
    socrata,
    taxi_zones,
)

ROUNDS = 7
WEATHER = "/data/v1"
MONTHS = 3
ROWS = 1000  # of a month of trips


def serve() -> None:
    """Serve the sources until standard input ends; print the address."""
    data = Path(os.environ["MEDALLION_TEST_DATA"])
    names = ("taxi_zones.zip", "taxi_zone_lookup.csv")
    files = {name: (data / "misc" / name).read_bytes() for name in names}
    files["MEDALLION_REPORT_URL"] = (data / "misc" / "data_reports_monthly.csv").read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        today = datetime.now(UTC).date()
        # TLC publishes a month about two months later
        for month in list(months_between(date(2020, 1, 1), today))[-MONTHS - 2 : -2]:
            for dataset in TRIP_DATASETS:
                path = write_month(Path(folder), dataset.name, month, ROWS)
                files[path.name] = path.read_bytes()
    saved = data / "weather" / "central_park_weather.csv"
    days = records(saved)
    bases = [
        {"license_number": b["base_number"], "entity_name": b["base_name"]}
        for b in records(data / "misc" / "fhv_bases.csv")
    ]
    tables = {
        BASES: socrata(bases),
        BASE_REPORT: socrata(base_report(data)),
        ZONES: socrata(taxi_zones(data)),
    }

    @cache
    def answer(address: str) -> bytes | None:
        parts = urlsplit(address)
        params = dict(parse_qsl(parts.query))
        if parts.path == WEATHER and params["format"] == "csv":
            return saved.read_bytes()
        if parts.path == WEATHER:
            first, last = params["startDate"], params["endDate"]
            return json.dumps([d for d in days if first <= d["DATE"] <= last]).encode()
        if parts.path in tables:
            return json.dumps(tables[parts.path](Asked(parts.path, params, {}))).encode()
        return files.get(unquote(parts.path).rpartition("/")[2])

    class Handler(QuietHandler):
        def do_GET(self) -> None:  # noqa: N802
            body = answer(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            if body is not None and self.path.rpartition("/")[2] in files:
                self.send_header("ETag", f'"{len(body)}"')
                self.send_header("Last-Modified", formatdate(1.7e9, usegmt=True))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body or b"")

        do_HEAD = do_GET  # noqa: N815

    with on_loopback(Handler) as url:
        print(url, flush=True)
        sys.stdin.read()


def main() -> None:
    """Print the medians."""
    command = [sys.executable, "-m", "tests.benchmarks.nothing_new_sources", "serve"]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as server,
    ):
        assert server.stdout
        try:
            compare(server.stdout.readline().strip(), Path(folder))
        finally:
            server.communicate()


def compare(url: str, root: Path) -> None:
    """Land and build what is there, then time the runs that follow."""
    sources = registry.sources()
    data = Path(os.environ["MEDALLION_TEST_DATA"])
    papers = root / "papers"
    papers.mkdir()
    for path in (*(data / "docs").glob("*.pdf"), *(data / "misc").glob("taxi_zones.*")):
        copyfile(path, papers / path.name)
    env = os.environ | {
        "MEDALLION_ENABLED_SOURCES": ",".join(sources),
        "MEDALLION_LAKE_URL": str(root / "lake"),
        "MEDALLION_DUCKDB_PATH": str(root / "warehouse.duckdb"),
        "MEDALLION_WORK_DIR": str(root / "work"),
        **{f"MEDALLION_{name.upper()}_URL": url for name in sources},
        **{
            variable: f"{url}/misc/{variable}"
            for source in sources.values()
            for dataset in source.datasets
            if (variable := dataset.url_variable)
        },
        "MEDALLION_TLC_DOCUMENTS_URL": papers.as_uri(),
    }

    medallion(env, "run")
    medians = side_by_side(
        {
            "import dlt": lambda: subprocess.run([sys.executable, "-c", "import dlt"], check=True),
            "nothing new": lambda: medallion(env, "run"),
        },
        ROUNDS,
    )
    report(f"nothing new at {len(sources)} sources", medians, "import dlt")


if __name__ == "__main__":
    serve() if sys.argv[1:] == ["serve"] else main()
