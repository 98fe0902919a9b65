"""Search over many pages: with the index in the work folder, and the index made anew.

Run: ``python -m tests.benchmarks.search [--pages 10000]``. The baseline is a scan of the same pages
for the same words by DuckDB, in the same run.
"""

import argparse
import random
import tempfile
import time
from pathlib import Path
from statistics import median
from unittest.mock import patch

import duckdb
import pyarrow as pa

from ingestion.settings import Settings
from orchestration.job import documents

WORDS = ("fare", "trip", "zone", "base", "driver", "airport", "bridge", "toll", "night", "queue")
QUERIES = ("congestion surcharge", "airport tolls at night", "shared trips", "wheelchair")
TIMES = 5


def pages_of(count: int) -> pa.Table:
    """Made-up pages of some 3,000 characters."""
    rng = random.Random(1)
    rare = ("congestion", "surcharge", "wheelchair", "shared")
    texts = [
        " ".join(rng.choice(WORDS if rng.random() < 0.99 else rare) for _ in range(500))
        for _ in range(count)
    ]
    return pa.table(
        {
            "dataset": ["papers"] * count,
            "document": [f"paper {n // 20}.pdf" for n in range(count)],
            "page": [n % 20 + 1 for n in range(count)],
            "text": texts,
        }
    )


def seconds(work: object) -> float:
    """The median time of a call."""
    taken = []
    for query in QUERIES * TIMES:
        began = time.perf_counter()
        work(query)  # type: ignore[operator]
        taken.append(time.perf_counter() - began)
    return median(taken)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pages", type=int, default=10_000)
    count = parser.parse_args().pages
    pages = pages_of(count)
    with (
        tempfile.TemporaryDirectory() as folder,
        patch.object(documents, "_pages", lambda _settings: pages),
    ):
        settings = Settings(work_dir=Path(folder), lake_url=str(Path(folder) / "lake"))
        began = time.perf_counter()
        documents.search(settings, QUERIES[0])
        made = time.perf_counter() - began
        found = seconds(lambda query: documents.search(settings, query))
    connection = duckdb.connect()
    connection.register("pages", pages)
    connection.execute("create table held as from pages")
    scanned = seconds(
        lambda query: connection.sql(
            "select document, page from held where "
            + " or ".join(f"text ilike '%{word}%'" for word in query.split())
        ).fetchall()
    )
    print(
        f"{count:,} pages: search {found:.3f} s, {found / scanned:.2f} of a scan ({scanned:.3f} s)"
    )
    print(f"the first search, which makes the index: {made:.1f} s")


if __name__ == "__main__":
    main()
