"""Months whose bytes are damaged at random, landed and loaded: run as a process of its own.

``python -m tests.faults.hostile FOLDER FORMAT SEED COUNT`` publishes so many months, each one a
damaged copy of a good one, and prints what came of each as JSON. What kills or hangs a reader kills
or hangs this process, which the test sees.
"""

import csv
import gzip
import io
import json
import random
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as t

from ingestion.addresses import local_path
from ingestion.formats.csv_reader import csv_rows
from ingestion.lake.catalog import Catalog, FileVersion
from ingestion.land import land
from ingestion.load import load
from ingestion.settings import Settings
from ingestion.sources.base import FileFormat
from ingestion.warehouse import connect
from tests.support.trips import publish, trips

ROWS = 30
BYTES = (
    *(b"\x00", b"\xff", b"\x7f", b"\x80", b"\x01"),
    *(b"\xff" * 8, b"\x00" * 8, b"\x80" * 9 + b"\x01"),
)
TEXTS = (
    *(b'"', b'""', b' "', b'" ', b'"x\ny"', b"'", b",", b",,", b";", b"\t", b"\\"),
    *(b"\r", b"\n", b"\r\n", b"\r\r\n", b"\n\n", b"\x0b", b"\x0c", b"\x1a", b"\x00", b"\xff"),
    *(b"\xef\xbb\xbf", b"\xc2\x85", b"\xe2\x80\xa8", b"\xc2\xa0"),
    *(b"NULL", b"nan", b"1e999", b"99999999999999999999", b"-"),
)


def months(count: int) -> list[date]:
    """So many months in a row, of which every one may be published in any format."""
    return [date(2014 + i // 12, 1 + i % 12, 1) for i in range(count)]


def good(month: date, file_format: FileFormat, rng: random.Random) -> bytes:
    """A month that is as it should be, as one writer or another writes it."""
    table = trips("green", month, ROWS, seed=rng.randrange(1 << 30))
    out = io.BytesIO()
    if file_format == "parquet":
        pq.write_table(
            table,
            out,
            compression=rng.choice(["none", "snappy", "zstd", "gzip", "brotli", "lz4"]),
            use_dictionary=rng.random() < 0.5,
            row_group_size=rng.choice([7, ROWS]),
            data_page_version=rng.choice(["1.0", "2.0"]),
            store_schema=rng.random() < 0.5,
            write_page_index=rng.random() < 0.3,
        )
        return out.getvalue()
    text = io.StringIO(newline="")
    quoting = rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
    writer = csv.writer(text, quoting=quoting, lineterminator=rng.choice(["\n", "\r\n"]))
    writer.writerow(table.column_names)
    writer.writerows(zip(*(column.to_pylist() for column in table.columns), strict=True))
    return text.getvalue().encode()


def damaged(content: bytes, file_format: FileFormat, rng: random.Random) -> bytes:
    """The same with some bits turned, or some bytes gone, doubled, or put in place of others."""
    data = bytearray(content)
    footer = max(0, len(data) - int.from_bytes(data[-8:-4], "little") - 8)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        first = footer if file_format == "parquet" and rng.random() < 0.3 else 0
        at = rng.randrange(min(first, len(data) - 1), len(data))
        kind = rng.random()
        if kind < 0.35:
            data[at] ^= 1 << rng.randrange(8)
        elif kind < 0.7:
            put = rng.choice(BYTES if file_format != "csv" else TEXTS)
            data[at : at + (len(put) if rng.random() < 0.8 else 0)] = put
        elif kind < 0.8:
            del data[max(at, 1) : at + rng.choice([1, 2, 8, 100])]
        elif kind < 0.9:
            data[at:at] = data[at : at + rng.choice([1, 8, 100])]
        elif kind < 0.95:
            data[at] = rng.randrange(256)
        else:
            del data[max(at, 1) :]
    return bytes(data)


def published_bytes(month: date, file_format: FileFormat, rng: random.Random) -> bytes:
    """A damaged month as it is published."""
    content = good(month, file_format, rng)
    if file_format != "csv.gz":
        return damaged(content, file_format, rng)
    if rng.random() < 0.5:
        return gzip.compress(damaged(content, "csv", rng))
    return damaged(gzip.compress(content), "csv.gz", rng)


def main(folder: Path, file_format: FileFormat, seed: int, count: int) -> None:
    """Publish, land and load; print what came of each month."""
    rng = random.Random(seed)
    (folder / "published").mkdir(parents=True)
    for month in months(count):
        content = published_bytes(month, file_format, rng)
        publish(folder / "published", "green", month, b"", file_format).write_bytes(content)
    settings = Settings(
        tlc_url=(folder / "published").as_uri(),
        report_url="",
        lake_url=str(folder / "lake"),
        work_dir=folder / "work",
        duckdb_path=folder / "warehouse.duckdb",
        _env_file=None,
    )
    landed = {f.published.month: f for f in land(settings, ["green"]).files}
    failed = load(settings).failed
    versions = {v.month: v for v in Catalog(settings.lake_url).versions()}
    with connect(settings, read_only=True) as session:
        said = dict(session.query("select month, status from raw.files").rows)
        for month in months(count):
            version = versions.get(month)
            outcome = str(landed[month].outcome) if month in landed else "not seen"
            told = said.get(month) in ("loaded", "quarantined") or bool(
                version and version.table_name in failed
            )
            wrong = None
            if version and said.get(month) == "loaded" and version.table_name not in failed:
                wrong = difference(settings, session, version)
            print(
                json.dumps(
                    {
                        "month": str(month),
                        "landed": outcome,
                        "reason": (landed[month].error if month in landed else None)
                        or failed.get(version.table_name if version else ""),
                        "loaded": said.get(month),
                        "failed": bool(version and version.table_name in failed),
                        "told": told,
                        "wrong": wrong,
                    }
                )
            )


def difference(settings: Settings, session: Any, version: FileVersion) -> str | None:
    """How the raw table differs from what another reader finds in the file; none where it does not.

    A file that only DuckDB can read has nobody to contradict it.
    """
    lake = local_path(settings.lake_url)
    assert lake
    path = lake / version.lake_path
    assert path.exists()
    table = session.connection.execute(
        f'select * from raw."{version.table_name}" order by rowid'
    ).to_arrow_table()
    if table.num_rows != version.row_count:
        return f"{table.num_rows} rows, where the catalog says {version.row_count}"
    if version.lake_path.endswith(".parquet"):
        try:
            expected = pq.read_table(path)
        except (pa.ArrowException, OSError):
            return None
        for name in expected.schema.names:
            if bits(table[name].cast(expected[name].type)) != bits(expected[name]):
                return f"column {name}"
        return None
    with csv_rows(path, version.lake_path.endswith(".gz"), False) as rows:
        written = [tuple(row) for row in rows]
    loaded = list(zip(*(column.to_pylist() for column in table.columns), strict=True))
    return None if written == loaded else "its fields"


def bits(column: pa.ChunkedArray) -> list[Any]:
    """The values so that two that are the same are equal, also where they are no numbers."""
    whole = column.combine_chunks()
    if t.is_float64(whole.type) or t.is_timestamp(whole.type):
        whole = whole.view(pa.int64())
    elif t.is_float32(whole.type):
        whole = whole.view(pa.int32())
    found: list[Any] = whole.to_pylist()
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))  # type: ignore[arg-type]
