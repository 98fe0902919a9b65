"""Values, types and names that PostgreSQL cannot hold: refused by the name of their column."""

import datetime as dt
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from ingestion.land import Outcome, land
from ingestion.load import LoadReport, load
from ingestion.settings import Settings
from ingestion.warehouse.postgres import engine
from tests.conftest import MakeSettings
from tests.support.debian_postgres import DebianPostgres
from tests.support.trips import publish, trips

JANUARY, FEBRUARY = dt.date(2024, 1, 1), dt.date(2024, 2, 1)


@pytest.fixture
def settings(
    variables: dict[str, str],
    published: Path,
    make_settings: MakeSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> Settings:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return make_settings(target="postgres")


def text(*values: bytes) -> pa.Array:
    """A column of text that holds these bytes, valid or not."""
    ends = np.cumsum([0, *map(len, values)], dtype=np.int32)
    buffers = [None, pa.py_buffer(ends.tobytes()), pa.py_buffer(b"".join(values))]
    return pa.Array.from_buffers(pa.string(), len(values), buffers)


# where one calendar ends and the other begins, in microseconds and days since 1970
LEAST, MOST = -(2**63), 2**63 - 1
TO_2000_US = 946_684_800_000_000
TO_2000_DAYS = 10_957
FIRST_US = -210_866_803_200_000_000  # 24 November 4714 BC
US = pa.timestamp("us")


@pytest.mark.parametrize(
    "values",
    [
        text(b"a\0b", b"x"),
        text(b"a\0b", b"x").cast(pa.large_string()),
        text(b"a\0b", b"x").dictionary_encode(),
        pa.array([["a\0b"], ["x"]]),
        text(b"\xff", b"x"),
        text(b"\xed\xa0\x80", b"x"),
        pa.array([86_401, 0], pa.int32()).view(pa.time32("s")),
        pa.array([[LEAST + TO_2000_US], []], pa.list_(US)),
        pa.array([{"a": 1}, {"a": 2}]),
    ],
    ids=[
        *("NUL", "NUL in large text", "NUL in a dictionary", "NUL in a list"),
        *("no UTF-8", "half a surrogate pair", "a time after midnight", "-infinity in a list"),
        "a struct",
    ],
)
def test_what_postgres_cannot_hold_is_refused_by_the_name_of_its_column(
    settings: Settings, published: Path, values: pa.Array
) -> None:
    odd = trips("green", JANUARY, rows=2).append_column("odd_one", values)
    assert_refused_by_name(settings, published, odd, "odd_one")


def test_a_column_that_is_read_is_refused_by_its_name_too(
    settings: Settings, published: Path
) -> None:
    odd = trips("green", JANUARY, rows=2)
    at = odd.column_names.index("store_and_fwd_flag")
    odd = odd.set_column(at, "store_and_fwd_flag", text(b"Y", b"N\0"))
    assert_refused_by_name(settings, published, odd, "store_and_fwd_flag")


@pytest.mark.parametrize("name", ["xmin", "_row_ordinal", "a" * 64])
def test_a_column_that_postgres_cannot_call_so_is_refused_by_its_name(
    settings: Settings, published: Path, name: str
) -> None:
    """It has columns of its own, so have we, and it cuts names after 63 bytes."""
    odd = trips("green", JANUARY, rows=2).append_column(name, pa.array([1, 2]))
    assert_refused_by_name(settings, published, odd, name)


def assert_refused_by_name(settings: Settings, published: Path, odd: pa.Table, column: str) -> None:
    publish(published, "green", JANUARY, odd)
    publish(published, "green", FEBRUARY, trips("green", FEBRUARY, rows=2))
    report, reasons = landed_and_loaded(settings)
    assert [v.month for v in report.loaded] == [FEBRUARY]
    ((name, reason),) = reasons.items()
    assert "green" in name
    assert "\n" not in reason
    assert column in reason, reason


def landed_and_loaded(settings: Settings) -> tuple[LoadReport, dict[str, str]]:
    """What was loaded, and why the rest was refused: at landing, or by the server."""
    landed = land(settings)
    report = load(settings)
    refused = {f.published.name: f.error or "" for f in landed.of(Outcome.QUARANTINED)}
    return report, refused | report.failed


def number_of(value: pa.Scalar) -> int:
    """What is stored: microseconds, or days, since 1970."""
    days = pa.types.is_date(value.type)
    return int(value.cast(pa.int32() if days else pa.int64()).as_py())


@pytest.mark.parametrize(
    "value",
    [
        pa.scalar(LEAST, US),
        pa.scalar(LEAST + TO_2000_US - 1, US),
        pa.scalar(LEAST + TO_2000_US, US),  # -infinity's own number
        pa.scalar(LEAST + TO_2000_US + 1, US),
        pa.scalar(FIRST_US - 1, US),
        pa.scalar(FIRST_US, US),
        pa.scalar(253_402_300_800_000_000, US),  # the year 10000
        pa.scalar(MOST, US),
        pa.scalar(LEAST + TO_2000_US, pa.timestamp("us", "UTC")),
        pa.scalar(MOST, pa.timestamp("us", "UTC")),
        pa.scalar(LEAST, pa.timestamp("ms")),
        pa.scalar(MOST, pa.timestamp("ms")),
        pa.scalar(-(2**31), pa.date32()),
        pa.scalar(-(2**31) + TO_2000_DAYS, pa.date32()),  # -infinity's own number
        pa.scalar(2**31 - 1, pa.date32()),
    ],
    ids=lambda value: f"{value.type} {number_of(value)}",
)
def test_a_time_beyond_the_calendar_is_refused_by_name_or_loaded_exactly(
    server: DebianPostgres, settings: Settings, published: Path, value: pa.Scalar
) -> None:
    values = pa.array([value, None], value.type)
    table = trips("green", JANUARY, rows=2).append_column("odd_one", values)
    publish(published, "green", JANUARY, table)
    report, reasons = landed_and_loaded(settings)
    if reasons:
        (reason,) = reasons.values()
        assert "\n" not in reason
        assert "odd_one" in reason, reason
        return
    (version,) = report.loaded
    # compared as numbers: clients in Python know no year beyond 9999
    since_1970 = (
        "odd_one - date '1970-01-01'"
        if pa.types.is_date(value.type)
        # PostgreSQL counts from 2000, and is exact to the end only from there
        else f"(extract(epoch from odd_one - '2000-01-01') * 1000000)::numeric(30) + {TO_2000_US}"
    )
    found = server.query(
        f"select isfinite(odd_one), case when isfinite(odd_one) then {since_1970} end"
        f" from raw.{version.table_name} where _row_ordinal = 0",
        engine.Postgres(settings).database,
    )
    assert found == [(True, number_of(value) * (1000 if "[ms" in str(value.type) else 1))]
