"""The type by which a column is read, from the types that files have."""

import pytest

from ingestion.sources.read_types import read_type_of, widest


@pytest.mark.parametrize(
    ("file_type", "read_type"),
    [
        ("int32", "bigint"),
        ("uint32", "bigint"),
        ("uint64", "decimal(20, 0)"),
        ("double", "double"),
        ("bool", "boolean"),
        ("date32[day]", "date"),
        ("timestamp[us]", "timestamp"),
        ("timestamp[us, tz=UTC]", "timestamptz"),
        ("decimal128(12, 2)", "decimal(12, 2)"),
        ("large_binary", "binary"),
        ("string", "text"),
        ("json", "text"),
        ("list<item: int64>", "text"),
        ("null", None),
    ],
)
def test_the_read_type_of_a_file_type(file_type: str, read_type: str | None) -> None:
    assert read_type_of(file_type) == read_type


@pytest.mark.parametrize(
    ("seen", "read_type"),
    [
        (["bigint"], "bigint"),
        (["bigint", "double"], "double"),
        (["bigint", "text"], "text"),
        (["date", "timestamp"], "timestamp"),
        (["boolean", "bigint"], "text"),
        (["decimal(10, 2)", "decimal(8, 4)"], "decimal(12, 4)"),
        (["decimal(10, 2)", "bigint"], "decimal(21, 2)"),
        (["decimal(38, 0)", "decimal(38, 10)"], "text"),
        (["decimal(10, 2)", "double"], "double"),
        (["timestamptz", "timestamp"], "text"),
        ([], "text"),
    ],
)
def test_the_widest_of_several(seen: list[str], read_type: str) -> None:
    assert widest(seen) == widest(reversed(seen)) == read_type
