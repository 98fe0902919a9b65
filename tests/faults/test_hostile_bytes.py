"""Files whose bytes are damaged, or made to fill a machine, in a process of their own.

None may end or hang it, none may be counted wrong, and each is loaded or named with its reason.
"""

import gzip
import json
import resource
import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingestion.settings import PROJECT_ROOT
from tests.faults.conftest import Tally
from tests.support.trips import trips

pytestmark = pytest.mark.slow

MONTH = date(2019, 1, 1)
SECONDS = 240  # for so many files at once
ADDRESS_SPACE = 8 << 30
FILES_AT_ONCE = 125
MOST_MEMORY = 1 << 30  # of a process that meets a bomb


def hostile(folder: Path, file_format: str, seed: int, count: int) -> list[dict[str, Any]]:
    """What came of each of so many damaged months; fails where the process died, or hung."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.faults.hostile",
            str(folder),
            file_format,
            str(seed),
            str(count),
        ],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE,) * 2),
    )
    assert done.returncode == 0, (
        f"{file_format}, seed {seed}: {done.returncode}: {done.stderr[-3000:]}"
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("file_format", ["parquet", "csv", "csv.gz"])
def test_damaged_bytes_are_loaded_as_they_are_or_named(
    file_format: str, tmp_path: Path, tally: Tally, at_length: bool
) -> None:
    rounds, count = (8, FILES_AT_ONCE) if at_length else (1, 40)
    rounds *= 2 if at_length and file_format == "parquet" else 1
    found: list[dict[str, Any]] = []
    for seed in range(rounds):
        begun = time.monotonic()
        found += hostile(tmp_path / str(seed), file_format, seed, count)
        seconds = time.monotonic() - begun
    outcomes = {(x["landed"], x["loaded"]) for x in found}
    assert ("quarantined", "quarantined") in outcomes
    assert ("new", "loaded") in outcomes
    tally(
        f"damaged bytes of a {file_format} month",
        times=len(found),
        lost=rounds * count - len(found),
        wrong=sum(x["wrong"] is not None for x in found),
        silent=sum(not x["told"] for x in found),
        seconds=seconds,
    )


def _null_rows(path: Path) -> None:
    table = trips("green", MONTH, rows=1)
    with pq.ParquetWriter(path, table.schema) as writer:
        nulls = pa.table({f.name: pa.nulls(1_000_000, f.type) for f in table.schema})
        for _ in range(20):
            writer.write_table(nulls)


def _many_columns(path: Path) -> None:
    table = trips("green", MONTH, rows=1)
    more = {f"c{i}": pa.array([1]) for i in range(30_000)}
    pq.write_table(pa.table({n: table[n] for n in table.column_names} | more), path)


def _long_texts(path: Path) -> None:
    table = trips("green", MONTH, rows=1)
    at = table.column_names.index("store_and_fwd_flag")
    text = pa.DictionaryArray.from_arrays(pa.array([0] * 100_000, pa.int32()), ["x" * 100_000])
    many = pa.table({n: pa.repeat(table[n][0], 100_000) for n in table.column_names})
    pq.write_table(many.set_column(at, "store_and_fwd_flag", text), path)


def _footer_of_nothing(path: Path) -> None:
    footer = b"\x29\xfc\xff\xff\xff\xff\x07" + bytes(2000)
    path.write_bytes(b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1")


def _footer_of_structs(path: Path) -> None:
    # a list of millions of structs without fields
    footer = b"\x29\xfc" + b"\x80\x80\x80\x07" + bytes(14 << 20)
    path.write_bytes(b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1")


def _gzip_of(line: bytes, path: Path) -> None:
    header = ",".join(trips("green", MONTH, rows=1).column_names).encode() + b"\n"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(header + b"," * header.count(b",") + b"\n")
        for _ in range(400):
            file.write(line * ((1 << 20) // len(line)))


def _gzip_of_blank_lines(path: Path) -> None:
    _gzip_of(b"\n", path)


def _gzip_of_one_line(path: Path) -> None:
    _gzip_of(b"x", path)


def _gzip_of_zeros(path: Path) -> None:
    _gzip_of(bytes(1), path)


BOMBS = {
    _null_rows: ("parquet", "rows in"),
    _many_columns: ("parquet", "columns, where 1,000 are the most"),
    _long_texts: ("parquet", "unpacks to"),
    _footer_of_nothing: ("parquet", "its footer is damaged"),
    _footer_of_structs: ("parquet", "it holds more than"),
    _gzip_of_blank_lines: ("csv.gz", "most lines up to this one are blank"),
    _gzip_of_one_line: ("csv.gz", "longer than 131,072 characters"),
    _gzip_of_zeros: ("csv.gz", "longer than 131,072 characters"),
}


@pytest.mark.parametrize("bomb", BOMBS, ids=lambda bomb: bomb.__name__.strip("_"))
def test_what_unpacks_to_far_more_is_refused_in_seconds(
    bomb: Any, tmp_path: Path, tally: Tally
) -> None:
    file_format, reason = BOMBS[bomb]
    path = tmp_path / f"green_tripdata_2019-01.{file_format}"
    bomb(path)
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", CHECK, str(path)],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    seconds = time.monotonic() - begun
    assert done.returncode == 0, done.stderr[-2000:]
    said, memory = done.stdout.rsplit("\n", 2)[:2]
    assert reason in said
    assert int(memory) * 1024 < MOST_MEMORY
    tally("a file that unpacks to far more", times=1, silent=int(not said), seconds=seconds)


CHECK = """
import sys
from datetime import date
from pathlib import Path
from ingestion.formats.validate import check
from ingestion.sources.tlc.datasets import DATASETS
from ingestion.errors import UntrustedFileError
from tests.support.processes import peak
try:
    print(check(Path(sys.argv[1]), DATASETS["green"], date(2019, 1, 1)))
except UntrustedFileError as exc:
    print(exc)
print(peak())
"""
