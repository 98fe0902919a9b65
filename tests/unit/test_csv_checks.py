"""Whether a month that is published as CSV is trusted, and what its values are read as."""

import gzip
import re
from datetime import date, datetime
from pathlib import Path

import duckdb
import pytest

from ingestion.errors import UntrustedFileError
from ingestion.formats.csv_reader import duckdb_csv_sql
from ingestion.formats.drift import Checked
from ingestion.formats.validate import check
from ingestion.schema_on_read import DUCKDB, Branch, key_sql, month_sql, read_view_sql
from ingestion.sources.base import FileFormat
from ingestion.sources.tlc.datasets import DATASETS
from tests.support.trips import csv_heads, month_of

GREEN = DATASETS["green"]
MONTH = date(2019, 1, 1)
HEADER = b"VendorID,lpep_pickup_datetime,lpep_dropoff_datetime,PULocationID,DOLocationID,"
HEADER += b"trip_distance,fare_amount,total_amount,store_and_fwd_flag\n"
ROW = b"2,2019-01-01 00:10:16,2019-01-01 00:16:32,97,49,.86,6.0,7.3,N\n"


def checked(tmp_path: Path, content: bytes, file_format: FileFormat = "csv") -> Checked:
    path = tmp_path / "download.part"
    path.write_bytes(content)
    return check(path, GREEN, MONTH, file_format)


def test_every_real_head_has_the_columns_of_its_era(real_data: Path, tmp_path: Path) -> None:
    heads = csv_heads(real_data)
    assert len(heads) > 190
    for name, content in heads.items():
        dataset, month = month_of(name)
        path = tmp_path / name
        path.write_bytes(content)
        file = check(path, DATASETS[dataset], month)
        lines = [line for line in content.splitlines() if line]
        assert file.row_count == len(lines) - 1, name
        header = lines[0].decode().replace('"', "").split(",")
        fields = lines[1].count(b",") + 1
        over = [f"_{i + 1}" for i in range(len(header), fields)]
        assert [column for column, _ in file.columns] == header + over, name
        expected = [f"its rows have more fields ({len(over)}) than its header"] if over else []
        assert [remark.partition(":")[0] for remark in file.remarks] == expected, name
        known = [c.name for c in DATASETS[dataset].csv_era(month, header).columns]
        assert [column.strip().lower() for column in header] == [c.lower() for c in known], name


@pytest.mark.parametrize(
    ("name", "rows", "remarks"),
    [
        ("fhv_tripdata_2015-02_1000_rows.csv", 1000, ["unknown column _1"]),
        ("fhv_tripdatasample_2020-04.csv", 1000, []),
        ("fhvhv_tripdatasample_2020-04.csv", 1000, []),
        ("green_tripdata_2019-01_1000_rows.csv", 1000, ["unknown column _1"]),
        ("yellow_tripdata_2009-01_1000_rows.csv", 1000, ["unknown column _1"]),
        ("yellow_tripdata_2015-01_1000_rows.csv", 1000, ["unknown column _1"]),
        ("yellow_tripdata_2025-01_1000_rows.csv", 1000, []),
        ("yellow_tripdata_sample_2021_with_extra_column.csv", 1000, ["unknown column test_bool"]),
    ],
)
def test_what_others_made_of_tlcs_files_is_trusted(
    name: str, rows: int, remarks: list[str], real_data: Path
) -> None:
    """With an index in front, quotes around text, fractions of seconds, or Parquet's own names."""
    year, month = re.findall(r"_(20\d\d)(?:-(\d\d))?", name)[0]
    dataset = DATASETS[name.partition("_")[0]]
    file = check(real_data / "samples" / name, dataset, date(int(year), int(month or 10), 1))
    assert file.row_count == rows
    assert [remark.partition(" (")[0] for remark in file.remarks] == remarks


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (HEADER + ROW * 3 + ROW.replace(b",", b";"), "line 5 has 1 field where those before it"),
        (HEADER + ROW * 3 + ROW.replace(b",N", b',"N'), "line 5: a quote is not closed"),
        (
            HEADER + ROW * 3 + ROW.replace(b"2,", b"'2',", 1),
            "line 5: column VendorID cannot be read as bigint: \"'2'\"",
        ),
        (
            HEADER + b"\n" + ROW + b"\n" + ROW.replace(b"7.3", b"7.3 USD"),
            "line 5: column total_amount cannot be read as double: '7.3 USD'",
        ),
        (
            HEADER + ROW + ROW.replace(b"2019-01-01 00:1", b"2019-02-29 00:1"),
            "line 3: column lpep_pickup_datetime cannot be read as timestamp: '2019-02-29 00",
        ),
        (HEADER + ROW + ROW.replace(b"7.3", b"7,3"), "line 3 has 10 fields"),
        (HEADER, "the file has a header and no rows"),
        (b"", "the file is empty (0 bytes)"),
        (b"a,b\n1,2\n", "it has no column lpep_pickup_datetime"),
        (
            HEADER.replace(b"\n", b",vendorid \n"),
            "columns that differ only by case or blanks: 'VendorID', 'vendorid '",
        ),
        (HEADER.replace(b"\n", b",vendorid\n"), "differ only by case: VendorID, vendorid"),
        (HEADER.replace(b"\n", b",tip,tip\n"), "2 columns have the same name: tip"),
        (HEADER.replace(b",", b"^"), "(its fields are separated by carets (^), not by commas)"),
        ((HEADER + ROW).replace(b",", b"~"), "separated by tildes (~), not by commas)"),
        ((HEADER + ROW).replace(b",", b"  "), "seem to be separated by blanks, not by commas)"),
        (b'{\n  "code" : "not_found"\n}\n', "it is JSON"),
        (b"<html><body>503</body></html>", "it is an HTML error page"),
        (b"PAR1" + bytes(99), "it is a Parquet file"),
    ],
)
def test_what_is_no_month_is_distrusted_and_the_line_named(
    content: bytes, reason: str, tmp_path: Path
) -> None:
    with pytest.raises(UntrustedFileError) as fault:
        checked(tmp_path, content)
    assert reason in str(fault.value)


@pytest.mark.parametrize("name", ["ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"])
def test_a_column_that_postgresql_has_itself_is_remarked(name: str, tmp_path: Path) -> None:
    header = HEADER.replace(b"\n", f",{name},{name.upper()}_2\n".encode())
    remarks = checked(tmp_path, header + ROW.replace(b"\n", b",x,y\n")).remarks
    assert [r for r in remarks if "PostgreSQL" in r] == [
        f"cannot be loaded into PostgreSQL: column {name} is one of its own there"
    ]


def test_an_empty_gzip_file_is_distrusted(tmp_path: Path) -> None:
    with pytest.raises(UntrustedFileError, match="no header on line 1"):
        checked(tmp_path, gzip.compress(b""), "csv.gz")


@pytest.mark.parametrize("place", ["first", "later"])
@pytest.mark.parametrize("flag", [0x01, 0x10], ids=["says-it-is-text", "has-a-comment"])
def test_a_gzip_header_that_duckdb_does_not_know_is_distrusted(
    place: str, flag: int, tmp_path: Path
) -> None:
    member = gzip.compress(HEADER + ROW)
    odd = gzip.compress(HEADER + ROW if place == "first" else ROW)
    odd = odd[:3] + bytes([flag]) + odd[4:10] + (b"note\0" if flag == 0x10 else b"") + odd[10:]
    content = odd if place == "first" else member + odd
    with pytest.raises(UntrustedFileError, match="Unpack it, and pack it with gzip"):
        checked(tmp_path, content, "csv.gz")
    assert checked(tmp_path, member + gzip.compress(ROW), "csv.gz").row_count == 2


def test_a_value_far_down_is_found_with_its_line(tmp_path: Path) -> None:
    content = HEADER + b"\r\n" + ROW * 100_000 + ROW.replace(b"97", b"9x7") + ROW * 10
    with pytest.raises(UntrustedFileError, match=r"line 100003: column PULocationID .*'9x7'"):
        checked(tmp_path, gzip.compress(content), "csv.gz")


@pytest.mark.parametrize(
    ("column", "text", "value"),
    [
        ("VendorID", "1", 1),
        ("VendorID", " 1 ", 1),
        ("VendorID", "1.0", 1),
        ("VendorID", "+1", 1),
        ("VendorID", "-999999999999999", -999999999999999),
        ("VendorID", "", None),
        ("VendorID", "  ", None),
        ("VendorID", "1.5", "no"),
        ("VendorID", "1e3", "no"),
        ("VendorID", "0x1F", "no"),
        ("VendorID", "9999999999999999", "no"),
        ("fare_amount", ".5", 0.5),
        ("fare_amount", "5.", 5.0),
        ("fare_amount", "-2.6299999999999999", -2.63),
        ("fare_amount", "0E-9", 0.0),
        ("fare_amount", "1e999", "no"),
        ("fare_amount", "1e-999", "no"),
        ("fare_amount", "nan", "no"),
        ("fare_amount", "1,5", "no"),
        ("fare_amount", "1_000", "no"),
        ("lpep_pickup_datetime", "2019-01-01 00:10:16", datetime(2019, 1, 1, 0, 10, 16)),
        ("lpep_pickup_datetime", "2019-01-01T00:10:16.5", datetime(2019, 1, 1, 0, 10, 16, 500000)),
        ("lpep_pickup_datetime", "2019-01-01 00:10", datetime(2019, 1, 1, 0, 10)),
        ("lpep_pickup_datetime", "2019-01-01", datetime(2019, 1, 1)),
        ("lpep_pickup_datetime", "", None),
        ("lpep_pickup_datetime", "2019-01-01 24:00:00", "no"),
        ("lpep_pickup_datetime", "01/01/2019 12:10:16 AM", "no"),
        ("lpep_pickup_datetime", "2019-01-01 00:10:16+00:00", "no"),
        ("store_and_fwd_flag", "N ", "N "),
        ("store_and_fwd_flag", "", None),
    ],
)
def test_what_the_check_lets_pass_is_what_the_view_reads(
    column: str, text: str, value: object, tmp_path: Path
) -> None:
    names = HEADER.decode().strip().split(",")
    fields = ROW.decode().strip().split(",")
    fields[names.index(column)] = f'"{text}"'
    content = HEADER + ",".join(fields).encode() + b"\n"
    if value == "no":
        with pytest.raises(UntrustedFileError, match=f"line 2: column {column} cannot be read"):
            checked(tmp_path, content)
        return
    file = checked(tmp_path, content)
    with duckdb.connect() as connection:
        connection.execute("create schema tlc")
        relation = duckdb_csv_sql(f"'{tmp_path / 'download.part'}'", False, names)
        branch = Branch(relation, month_sql(MONTH), key_sql(1), "0", file.columns)
        connection.execute(read_view_sql(GREEN, [branch], DUCKDB))
        assert connection.sql(f"select {column} from tlc.green_tripdata").fetchall() == [(value,)]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (HEADER + ROW + b"\n" * 500_000, "most lines up to this one are blank"),
        (HEADER + ROW * 9 + b"\r\n" * 500_000, "most lines up to this one are blank"),
        ((b"," * 100_000 + b"\n") * 2, "it has no column"),
        (
            (HEADER + ROW).replace(b"\n", b"," * 2000 + b"\n"),
            "it has 2,009 columns, where 1,000 are the most",
        ),
    ],
    ids=["lines", "windows-lines", "commas", "columns"],
)
def test_what_unpacks_to_nothing_is_distrusted(content: bytes, reason: str, tmp_path: Path) -> None:
    with pytest.raises(UntrustedFileError, match=reason):
        checked(tmp_path, gzip.compress(content), "csv.gz")


def test_a_blank_line_for_each_row_is_let_pass(tmp_path: Path) -> None:
    assert checked(tmp_path, HEADER + (ROW + b"\n") * 150_000).row_count == 150_000


def test_a_third_column_without_a_name_beside_one_of_its_name_is_distrusted(tmp_path: Path) -> None:
    content = HEADER.replace(b"\n", b",_11,\n") + ROW.replace(b"\n", b",x,y\n")
    with pytest.raises(
        UntrustedFileError, match="column 11 has no name, and another has the name _11"
    ):
        checked(tmp_path, content)
