"""Search over many pages: with the index in the work folder, and the index made anew.

Run: ``python -m tests.benchmarks.search [--pages 10000]``. The baseline is a scan of the same pages
for the same words by DuckDB, in the same run. PostgreSQL searches the same pages by the index of
``marts.document_pages``, for pages that have all of the words.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from statistics import median
from unittest.mock import patch

import duckdb
import pyarrow as pa
from psycopg2.extras import execute_values

from ingestion.settings import Settings
from orchestration.job import documents
from tests.support import postgres

WORDS = ("fare", "trip", "zone", "base", "driver", "airport", "bridge", "toll", "night", "queue")
QUERIES = ("congestion surcharge", "airport tolls at night", "shared trips", "wheelchair")
RARE = "zeppelin"  # on one page of a hundred; each of the other queries is on most pages
TIMES = 5
ON_POSTGRES = """
    select document, page, ts_headline('english', text, words)
    from pages, websearch_to_tsquery('english', %s) as words
    where text_search @@ words
    order by ts_rank(text_search, replace(words::text, '&', '|')::tsquery) desc limit 10
"""


def pages_of(count: int) -> pa.Table:
    """Made-up pages of some 3,000 characters."""
    rng = random.Random(1)
    rare = ("congestion", "surcharge", "wheelchair", "shared")
    texts = [
        " ".join(rng.choice(WORDS if rng.random() < 0.99 else rare) for _ in range(500))
        for _ in range(count)
    ]
    texts[::100] = [f"{text} {RARE}" for text in texts[::100]]
    return pa.table(
        {
            "dataset": ["papers"] * count,
            "document": [f"paper {n // 20}.pdf" for n in range(count)],
            "page": [n % 20 + 1 for n in range(count)],
            "text": texts,
        }
    )


def seconds(work: object, queries: Sequence[str] = QUERIES) -> float:
    """The median time of a call."""
    taken = []
    for query in [*queries] * TIMES:
        began = time.perf_counter()
        work(query)  # type: ignore[operator]
        taken.append(time.perf_counter() - began)
    return median(taken)


def on_postgres(pages: pa.Table) -> tuple[dict[str, float], float]:
    """The seconds of each search, and those that the index takes to make."""
    with (
        tempfile.TemporaryDirectory() as folder,
        postgres.server(Path(folder)) as server,
        postgres.database(server) as variables,
        closing(postgres.connect(variables)) as connection,
        connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("create table pages (dataset text, document text, page int, text text)")
        rows = [tuple(row.values()) for row in pages.to_pylist()]
        execute_values(cursor, "insert into pages values %s", rows)
        began = time.perf_counter()
        cursor.execute(
            "alter table pages add column text_search tsvector"
            " generated always as (to_tsvector('english', text)) stored"
        )
        cursor.execute("create index on pages using gin (text_search)")
        made = time.perf_counter() - began
        cursor.execute("analyze pages")

        def search(query: str) -> None:
            cursor.execute(ON_POSTGRES, [query])
            cursor.fetchall()

        found = {query: seconds(search, [query]) for query in (*QUERIES, RARE)}
    return found, made


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
    times, made = on_postgres(pages)
    for query, taken in times.items():
        print(f"PostgreSQL, {query}: {taken:.3f} s, {taken / scanned:.2f} of the scan")
    print(f"PostgreSQL makes its index in {made:.1f} s")


if __name__ == "__main__":
    main()
