"""A CSV file read as text: three readers, the same rows."""

import gzip
from pathlib import Path

import duckdb
import pytest

from ingestion.errors import UntrustedFileError
from ingestion.formats.csv_reader import csv_batches, csv_rows, duckdb_csv_sql

Rows = list[tuple[str, ...]]


def read(path: Path, gzipped: bool, line_breaks: bool = False) -> tuple[list[str], Rows]:
    """The columns and rows of a file, which all three readers must agree on."""
    with csv_rows(path, gzipped, line_breaks) as file:
        rows = [tuple(row) for row in file]
    arrow: Rows = []
    for batch in csv_batches(path, gzipped, file.columns):
        assert batch.schema.names == file.columns
        arrow += zip(*(column.to_pylist() for column in batch.columns), strict=True)
    reader = duckdb_csv_sql(f"'{path}'", gzipped, file.columns)
    relation = duckdb.sql(f"from {reader}")
    assert relation.columns == file.columns
    assert arrow == rows
    assert relation.fetchall() == rows
    return file.columns, rows


@pytest.mark.parametrize(
    ("content", "columns", "rows"),
    [
        pytest.param(b"a,b\n1,2\n", ["a", "b"], [("1", "2")], id="plain"),
        pytest.param(b"a,b\r\n1,2\r\n", ["a", "b"], [("1", "2")], id="windows-lines"),
        pytest.param(b"a,b\n\r\n1,2\r\n", ["a", "b"], [("1", "2")], id="blank-second-line"),
        pytest.param(b"a,b\r\n1,2\n3,4", ["a", "b"], [("1", "2"), ("3", "4")], id="mixed-lines"),
        pytest.param(b"a,b\n1,2\n\n\n3,4\n\n", ["a", "b"], [("1", "2"), ("3", "4")], id="blanks"),
        pytest.param(b"\xef\xbb\xbfa,b\n1,2\n", ["a", "b"], [("1", "2")], id="byte-order-mark"),
        pytest.param(b"a, b ,B \n1,2,3\n", ["a", " b ", "B "], [("1", "2", "3")], id="padded"),
        pytest.param(b",a\n0,1\n", ["_1", "a"], [("0", "1")], id="unnamed-index"),
        pytest.param(b"a,b\n1,2,,\n", ["a", "b", "_3", "_4"], [("1", "2", "", "")], id="over"),
        pytest.param(b"a,b,\n1,2,\n", ["a", "b", "_3"], [("1", "2", "")], id="trailing-comma"),
        pytest.param(b"a,b,,\n1,2\n", ["a", "b"], [("1", "2")], id="trailing-comma-in-header"),
        pytest.param(b'"a","b"\n"1","x,""y"""\n', ["a", "b"], [("1", 'x,"y"')], id="quotes"),
        pytest.param(b'a,b\n1,"x, ""y"""\n', ["a", "b"], [("1", 'x, "y"')], id="quote-in-quotes"),
        pytest.param(b'a,b\n1"2,"3"\n', ["a", "b"], [('1"2', "3")], id="quote-inside-a-field"),
        pytest.param(b'a,b\n,""\n', ["a", "b"], [("", "")], id="empty-is-empty-text"),
        pytest.param(b"a,b\nNULL,\\N\nNA,nan\n", ["a", "b"], [("NULL", "\\N"), ("NA", "nan")]),
        pytest.param(b"a,b\n .50 ,#1\n", ["a", "b"], [(" .50 ", "#1")], id="blanks-are-kept"),
        pytest.param("a,b\nZoë,\u2028\x85\n".encode(), ["a", "b"], [("Zoë", "\u2028\x85")]),
        pytest.param(b'it\'s,"q"\n1,2\n', ["it's", "q"], [("1", "2")], id="quote-in-a-name"),
    ],
)
@pytest.mark.parametrize("gzipped", [False, True], ids=["plain", "gzip"])
def test_all_readers_give_the_fields_as_written(
    content: bytes, columns: list[str], rows: Rows, gzipped: bool, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(gzip.compress(content) if gzipped else content)
    assert read(path, gzipped) == (columns, rows)


def test_rows_of_many_blocks_keep_their_order(tmp_path: Path) -> None:
    """Several gzip members of several blocks, as tools that compress side by side write them."""
    path = tmp_path / "file"
    lines = [f"{i},{'x' * 50}\r\n".encode() for i in range(200_000)]
    members = (b"n,text\r\n", b"".join(lines[:1000]), b"".join(lines[1000:]))
    path.write_bytes(b"".join(map(gzip.compress, members)))
    _, rows = read(path, gzipped=True)
    assert [row[0] for row in rows] == [str(i) for i in range(200_000)]


def test_a_reference_file_may_have_line_breaks_in_quotes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b'a,b\n"1\n2",3\n4,5\n')
    assert read(path, gzipped=False, line_breaks=True)[1] == [("1\n2", "3"), ("4", "5")]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"a,b\n1,2\n3;4\n", "line 3 has 1 field where those before it have 2"),
        (b"a,b\n1,2\n\n3,4,5\n", "line 4 has 3 fields where those before it have 2"),
        (b"a,b,c\n1,2\n", "line 2 has 2 fields where the header has 3"),
        (b"a,b\n1,2\n  \n", "line 3 has 1 field where"),
        (b'a,b\n1,2\n3,"4\n5,6\n', "line 3: a quote is not closed"),
        (b'a,b\n1,"2\n3,4\n5",6\n', "line 2: a quote is not closed"),
        (b'a,b\n1,2\n"3"x,4\n', "line 3: ',' expected after"),
        (b'a,b\n1, "2"\n', "line 2: there are blanks before a quote"),
        (b"a,b\n1,2\n3,\x004\n", "line 3: it holds a NUL byte"),
        (b"a,b\n1,2\nZo\xeb,4\n", "line 3: 0xEB in it is not UTF-8"),
        (b"a,b\n1,2\n3," + b"x" * 200_000, "line 3: it is longer than 131,072 characters"),
        (b"a,b\r\r\n1,2\r\r\n", "line 1: it ends in a carriage return without a line feed"),
        (b"a,b\r\n1,2\r\r\n3,4\r\n", "line 2: it ends in a carriage return without"),
        (b"a,b\r\n1,2\r\n\r3,4\r\n", "line 3: it ends in a carriage return without"),
        (b"a,b\r1,2\r", "line 1: it ends in a carriage return without a line feed"),
        (b"a,b\n1,2\r", "line 2: it ends in a carriage return without a line feed"),
        (b"\na,b\n1,2\n", "it has no header on line 1"),
        (b'"a\nb",c\n1,2\n', "line 1: a quote is not closed"),
    ],
)
def test_the_first_line_that_is_no_row_is_named(
    content: bytes, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(UntrustedFileError) as fault, csv_rows(path, False, False) as file:
        list(file)
    assert reason in str(fault.value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'a,b\n1,2\n "3","4\n5"\n', "line 3: there are blanks before a quote"),
        (b'a,b\n1,2\n"3\n4",\t"5"\n', "line 3: there are blanks before a quote"),
        (b'a,b\n1,"2\r3"\n', "line 2: it ends in a carriage return without a line feed"),
    ],
)
def test_the_same_of_records_of_several_lines(content: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(UntrustedFileError) as fault, csv_rows(path, False, True) as file:
        list(file)
    assert reason in str(fault.value)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param(lambda gz: gz[:-100], "ended before", id="cut-short"),
        pytest.param(lambda gz: gz[:-4], "ended before", id="length-missing"),
        pytest.param(lambda gz: gz[:-8] + bytes(8), "CRC check failed", id="bit-rot"),
        pytest.param(lambda gz: gz + b"junk", "Not a gzipped file", id="something-after-it"),
        pytest.param(lambda gz: gzip.decompress(gz), "Not a gzipped file", id="not-compressed"),
        pytest.param(lambda gz: gz[:300] + bytes(50) + gz[350:], "", id="damaged"),
    ],
)
def test_a_damaged_gzip_file_is_distrusted(change, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(change(gzip.compress(b"a,b\n" + b"".join(b"%d,x\n" % i for i in range(9999)))))
    with pytest.raises(UntrustedFileError) as fault, csv_rows(path, True, False) as file:
        list(file)
    assert "not a readable gzip file" in str(fault.value)
    assert reason in str(fault.value)
