"""100,000 rows of an API on loopback, beside dlt's own pipeline with the same configuration.

dlt's pipeline loads them into DuckDB, and in a second line into a folder as JSON lines. Ours ends
with the file that is landed, and in a second line with the row in the catalog.
"""

import json
import os
import subprocess
import sys
import tempfile
from itertools import count
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tests.benchmarks.support import report, rows_of_a_month, settings_in, side_by_side
from tests.support.http_server import QuietHandler, on_loopback

ROWS = rows_of_a_month(100_000)
PAGE = 1000
SOURCE = """
kind = "rest_api"
url = "{url}"

[datasets.readings.endpoint]
path = "readings"
data_selector = "results"
paginator = {{ type = "offset", limit = 1000, total_path = "count" }}
"""
ENDPOINT = {
    "path": "readings",
    "data_selector": "results",
    "paginator": {"type": "offset", "limit": PAGE, "total_path": "count"},
}


def serve() -> None:
    """Serve the rows until standard input ends; print the address."""
    pages = {}
    for begin in range(0, ROWS, PAGE):
        rows = [_row(n) for n in range(begin, min(begin + PAGE, ROWS))]
        pages[begin] = json.dumps({"count": ROWS, "results": rows}).encode()

    class Handler(QuietHandler):
        def do_GET(self) -> None:  # noqa: N802
            body = pages[int(parse_qs(urlsplit(self.path).query)["offset"][0])]
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with on_loopback(Handler) as url:
        print(url, flush=True)
        sys.stdin.read()


def _row(n: int) -> dict[str, object]:
    return {
        "id": n,
        "station": f"GHCND:USW{n % 500:08}",
        "observed_at": f"2024-{n % 12 + 1:02}-{n % 28 + 1:02}T{n % 24:02}:00:00",
        "kind": ("TMAX", "TMIN", "PRCP", "SNOW")[n % 4],
        "value": n % 400 / 10,
        "latitude": 40.0 + n % 1000 / 1000,
        "longitude": -74.0 - n % 1000 / 1000,
        "flags": ",,N" if n % 3 else None,
        "is_estimated": n % 7 == 0,
        "remark": f"reading {n} of the day",
    }


def main() -> None:
    """Print the medians."""
    command = [sys.executable, "-m", "tests.benchmarks.rest_api", "serve"]
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
    """Time each way to get the rows."""
    import dlt
    from dlt.sources.rest_api import rest_api_source

    from ingestion.land import land
    from ingestion.settings import load_settings
    from ingestion.sources import registry
    from ingestion.sources.kinds import kind_of

    declared = root / "sources" / "bench"
    declared.mkdir(parents=True)
    (declared / "source.toml").write_text(SOURCE.format(url=url))
    os.environ["MEDALLION_SOURCES"] = str(declared.parent)
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    publisher = load_settings().publisher(registry.sources()["bench"])
    kind = kind_of(publisher)
    runs = count()

    def dlts(destination: str) -> None:
        name = f"bench_{next(runs)}"
        if destination == "duckdb":
            into = dlt.destinations.duckdb(str(root / f"{name}.duckdb"))
        else:
            into = dlt.destinations.filesystem((root / name).as_uri())
        pipeline = dlt.pipeline(name, pipelines_dir=str(root / "dlt"), destination=into)
        resources = [{"name": "readings", "endpoint": ENDPOINT}]
        pipeline.run(rest_api_source({"client": {"base_url": url}, "resources": resources}))

    def fetched() -> None:
        (file,) = kind.discover(publisher)
        kind.fetch(publisher, file, root / f"spool-{next(runs)}")

    def landed() -> None:
        place = settings_in(root / f"place-{next(runs)}", root)
        assert not [f for f in land(place, ["readings"]).files if f.error]

    candidates = {
        "dlt's pipeline into DuckDB": lambda: dlts("duckdb"),
        "dlt's pipeline into files": lambda: dlts("filesystem"),
        "discover and fetch": fetched,
        "land": landed,
    }
    for work in candidates.values():  # the imports
        work()
    medians = side_by_side(candidates)
    report(f"{ROWS:,} rows of an API", medians, "dlt's pipeline into DuckDB")
    report("the same", medians, "dlt's pipeline into files")


if __name__ == "__main__":
    serve() if sys.argv[1:] == ["serve"] else main()
