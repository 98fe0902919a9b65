"""What the footer of a Parquet file gives away, and what is called by its name."""

import bz2
import gzip
import io
import lzma
import re
import zipfile
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as encryption
import pytest

from ingestion.errors import UntrustedFileError
from ingestion.formats.parquet_footer import read_footer
from ingestion.formats.validate import check
from ingestion.sources.base import FileFormat
from ingestion.sources.tlc.datasets import DATASETS
from tests.support.trips import trips, with_column

GREEN = DATASETS["green"]
MONTH = date(2019, 1, 1)


def parquet(tmp_path: Path, table: pa.Table, **options: object) -> Path:
    path = tmp_path / "file.parquet"
    pq.write_table(table, path, **options)
    return path


def fault(path: Path, file_format: FileFormat = "parquet") -> str:
    with pytest.raises(UntrustedFileError) as found:
        check(path, GREEN, MONTH, file_format)
    return str(found.value)


@pytest.mark.parametrize("codec", ["none", "snappy", "gzip", "brotli", "zstd", "lz4"])
def test_a_file_of_any_codec_that_all_read_is_trusted(codec: str, tmp_path: Path) -> None:
    path = parquet(tmp_path, trips("green", MONTH, rows=50), compression=codec, row_group_size=7)
    assert check(path, GREEN, MONTH).row_count == 50


class Keys(encryption.KmsClient):
    """Keeps keys as they are."""

    def wrap_key(self, key_bytes: bytes, master_key_identifier: str) -> bytes:
        return key_bytes

    def unwrap_key(self, wrapped_key: bytes, master_key_identifier: str) -> bytes:
        return wrapped_key


@pytest.mark.parametrize(
    ("column", "plain_footer", "reason"),
    [
        ("fare_amount", True, "column fare_amount is encrypted"),
        ("lpep_pickup_datetime", True, "column lpep_pickup_datetime is encrypted"),
        ("fare_amount", False, "it is encrypted"),
    ],
)
def test_a_file_that_is_encrypted_is_said_to_be(
    column: str, plain_footer: bool, reason: str, tmp_path: Path
) -> None:
    table, path = trips("green", MONTH, rows=50), tmp_path / "file.parquet"
    how = encryption.EncryptionConfiguration(
        footer_key="footer",
        column_keys={"column": [column]},
        plaintext_footer=plain_footer,
        double_wrapping=False,
    )
    keys = encryption.CryptoFactory(lambda _: Keys())
    properties = keys.file_encryption_properties(encryption.KmsConnectionConfig(), how)
    with pq.ParquetWriter(path, table.schema, encryption_properties=properties) as writer:
        writer.write_table(table)
    assert reason in fault(path)


def test_the_footer_says_what_pyarrow_says(tmp_path: Path) -> None:
    path = parquet(tmp_path, trips("green", MONTH, rows=50), row_group_size=7)
    footer, metadata = read_footer(path), pq.read_metadata(path)
    assert footer.rows == 50
    assert list(footer.names) == pq.read_schema(path).names
    for i, leaf in enumerate(footer.leaves):
        for group, found in enumerate(leaf.ranges):
            said = metadata.row_group(group).column(i)
            if said.physical_type == "DOUBLE":
                assert found is not None
                assert (found.least, found.greatest) == (
                    said.statistics.min,
                    said.statistics.max,
                )


def test_a_nested_column_in_front_shifts_nothing(tmp_path: Path) -> None:
    table = trips("green", MONTH, rows=3)
    nested = pa.array([{"source": "x", "batch": "y"}] * 3)
    table = with_column(table, "passenger_count", [1, 2, 2**53 + 1], pa.int64())
    path = parquet(tmp_path, table.add_column(0, "meta", nested))
    assert "column passenger_count cannot be read as double" in fault(path)
    table = with_column(table, "passenger_count", [1, 2, 3], pa.int64())
    path = parquet(tmp_path, table.add_column(0, "meta", nested))
    assert check(path, GREEN, MONTH).row_count == 3


@pytest.mark.parametrize(
    ("written", "damaged", "reason"),
    [
        (b"zzzzzz", b"\xff\xfe\xff\xfe\xff\xfe", "is not UTF-8"),
        (b"zzzzzz", b"ab\0cde", "holds a NUL"),
    ],
)
def test_a_name_that_no_table_takes_is_distrusted(
    written: bytes, damaged: bytes, reason: str, tmp_path: Path
) -> None:
    table = with_column(trips("green", MONTH), "zzzzzz", [1] * 20)
    path = parquet(tmp_path, table, store_schema=False)
    path.write_bytes(path.read_bytes().replace(written, damaged))
    assert reason in fault(path)


@pytest.mark.parametrize("inside", ["itself", "list"])
def test_a_struct_whose_first_part_has_no_name_is_distrusted(inside: str, tmp_path: Path) -> None:
    """As in a union that DuckDB wrote: it reads such a column, and makes no table of it."""
    part = {"": 0, "num": 1}
    values = pa.array([part] * 20) if inside == "itself" else pa.array([[part]] * 20)
    path = parquet(tmp_path, with_column(trips("green", MONTH), "remark", values))
    assert "column remark cannot be stored by DuckDB" in fault(path)
    named = pa.array([{"num": 1, "": 0}] * 20)
    path = parquet(tmp_path, with_column(trips("green", MONTH), "remark", named))
    assert check(path, GREEN, MONTH).row_count == 20


@pytest.mark.parametrize("damaged", [b"\xff\xfe\xff\xfe", b"ab\0c"], ids=["utf-8", "nul"])
@pytest.mark.parametrize("use_dictionary", [True, False])
def test_a_text_that_some_engine_cannot_hold_is_distrusted(
    damaged: bytes, use_dictionary: bool, tmp_path: Path
) -> None:
    table = with_column(trips("green", MONTH), "store_and_fwd_flag", ["N"] * 19 + ["QQQQ"])
    path = parquet(tmp_path, table, compression="none", use_dictionary=use_dictionary)
    path.write_bytes(path.read_bytes().replace(b"QQQQ", damaged))
    assert "column store_and_fwd_flag" in fault(path)


@pytest.mark.parametrize("unit", ["s", "ms", "us"])
@pytest.mark.parametrize("statistics", [True, False])
def test_a_time_that_no_calendar_reaches_is_distrusted(
    unit: str, statistics: bool, tmp_path: Path
) -> None:
    far = {"s": 2**53, "ms": 2**62, "us": -(2**63) + 1}[unit]
    times = pa.array([far, 0], pa.int64()).view(pa.timestamp(unit))
    table = with_column(trips("green", MONTH, rows=2), "lpep_dropoff_datetime", times)
    path = parquet(tmp_path, table, write_statistics=statistics)
    assert "column lpep_dropoff_datetime" in fault(path)
    table = with_column(table, "lpep_dropoff_datetime", [datetime(9999, 1, 1), None])
    assert check(parquet(tmp_path, table), GREEN, MONTH).row_count == 2


@pytest.mark.parametrize("inside", ["itself", "list", "struct", "dictionary"])
def test_a_decimal_that_duckdb_reads_as_another_number_is_distrusted(
    inside: str, tmp_path: Path
) -> None:
    value, wide = Decimal("2.55"), pa.decimal256(39, 2)
    values = {
        "itself": pa.array([value] * 20, wide),
        "list": pa.array([[value]] * 20, pa.list_(wide)),
        "struct": pa.array([{"a": [value]}] * 20, pa.struct({"a": pa.list_(wide)})),
        "dictionary": pa.array([value] * 20, wide).dictionary_encode(),
    }[inside]
    path = parquet(tmp_path, with_column(trips("green", MONTH), "tax", values))
    assert "column tax holds decimals of 39 digits" in fault(path)
    narrow = pa.array([value] * 20, pa.decimal256(38, 2))
    path = parquet(tmp_path, with_column(trips("green", MONTH), "fare_amount", narrow))
    assert check(path, GREEN, MONTH).row_count == 20


def _zip(content: bytes, name: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, content)
    return out.getvalue()


WRAPPED: list[tuple[str, Callable[[bytes], bytes], FileFormat]] = [
    ("it is text in UTF-16", lambda c: c.decode().encode("utf-16"), "csv"),
    ("it is text in UTF-16, without a byte", lambda c: c.decode().encode("utf-16-le"), "csv"),
    ("it is text in UTF-16, without a byte", lambda c: c.decode().encode("utf-16-be"), "csv"),
    ("it is text in UTF-32", lambda c: c.decode().encode("utf-32"), "csv"),
    ("it is a ZIP archive", lambda c: _zip(c, "green.csv"), "csv"),
    ("it is an Excel workbook (.xlsx)", lambda c: _zip(c, "xl/workbook.xml"), "csv"),
    ("it is a gzip file", gzip.compress, "csv"),
    ("it is a gzip file", gzip.compress, "parquet"),
    ("it is a bzip2 file", bz2.compress, "csv.gz"),
    ("it is an xz file", lzma.compress, "csv"),
    ("it is a PDF document", lambda c: b"%PDF-1.7\n" + c, "csv"),
    ("it is plain text, not gzip", lambda c: c, "csv.gz"),
    ("it is packed with gzip twice", lambda c: gzip.compress(gzip.compress(c)), "csv.gz"),
    ("inside the gzip file is a ZIP", lambda c: gzip.compress(_zip(c, "a.csv")), "csv.gz"),
    ("separated by semicolons", lambda c: c.replace(b",", b";"), "csv"),
    ("separated by tabs", lambda c: gzip.compress(c.replace(b",", b"\t")), "csv.gz"),
    ("separated by bars", lambda c: c.replace(b",", b"|"), "csv"),
]


@pytest.mark.parametrize(
    ("said", "wrap", "file_format"), WRAPPED, ids=lambda v: v[:40] if isinstance(v, str) else "as"
)
def test_what_is_wrapped_is_called_what_it_is(
    said: str, wrap: Callable[[bytes], bytes], file_format: FileFormat, tmp_path: Path
) -> None:
    table = trips("green", MONTH, rows=3)
    lines = [table.column_names, *zip(*(c.to_pylist() for c in table.columns), strict=True)]
    content = "\n".join(",".join(map(str, line)) for line in lines).encode()
    path = tmp_path / "download.part"
    path.write_bytes(wrap(content))
    assert re.search(re.escape(said), fault(path, file_format))
