"""Sources that declare no columns, and JSON lines: columns and types are those of the files."""

import gzip
import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ingestion
from ingestion.lake.catalog import Catalog
from ingestion.lake.history import compare
from ingestion.land import Outcome, land
from ingestion.load import load
from ingestion.settings import Settings
from ingestion.sources import registry
from ingestion.warehouse import connect
from orchestration.job.scaffold import scaffold
from tests.support import postgres
from tests.support.declared import declare_source, settings_from

SOURCE = """
url = "https://wharf.example"

[datasets.arrivals]
path = "arrivals/{month}.jsonl.gz"
first_month = "2024-01"

[datasets.berths]
path = "berths.parquet"

[datasets.moorings]
path = "moorings.parquet"

[datasets.moorings.columns]
fee = "decimal(14, 2)"
since = "date"
seen = "timestamptz"
open = "boolean"
seal = "binary"
depth = "bigint"

[datasets.tides]
path = "tides.jsonl"
required = ["seen", "height"]

[datasets.tides.columns]
seen = "timestamp"
height = "double"
station = "text"
"""
# one column of each type that a text may be declared for
TEXTS = ["double", "float", "half", "us", "ms", "s", "ns", "flag", "day", "at", "clock", "fee"]
TEXTS += ["count"]
SOURCE += '[datasets.texts]\npath = "texts.parquet"\n[datasets.texts.columns]\n'
SOURCE += "\n".join(f'{name} = "text"' for name in TEXTS)
FEET = {"seen": "2024-01-01T06:30:00.000", "height": "4.10", "station": ""}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with postgres.server(tmp_path_factory.mktemp("postgres")) as variables:
        yield variables


@pytest.fixture
def wharf(tmp_path: Path) -> Path:
    folder = tmp_path / "wharf published"
    (folder / "arrivals").mkdir(parents=True)
    return folder


@pytest.fixture(params=["loaded", "in_place", "postgres"])
def settings(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    wharf: Path,
    server: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Settings]:
    variables = declare_source(
        tmp_path,
        "wharf",
        SOURCE,
        WHARF_URL=wharf.as_uri(),
        ENABLED_SOURCES="wharf",
        TARGET="postgres" if request.param == "postgres" else "duckdb",
        RAW="in_place" if request.param == "in_place" else "loaded",
    )
    if request.param != "postgres":
        yield settings_from(variables, monkeypatch)
        return
    with postgres.database(server) as own:
        yield settings_from(variables | own, monkeypatch)


def write(folder: Path, name: str, *rows: dict[str, Any]) -> None:
    text = "".join(f"{json.dumps(row)}\n" for row in rows).encode()
    folder.joinpath(name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)


def query(settings: Settings, sql: str) -> list[tuple[Any, ...]]:
    with connect(settings, read_only=True) as session:
        return session.query(sql).rows


def land_and_load(settings: Settings, *datasets: str) -> dict[str, Outcome]:
    report = land(settings, datasets)
    assert load(settings).failed == {}
    return {f.published.name: f.outcome for f in report.files}


def test_each_value_is_read_under_the_type_that_its_column_has(
    settings: Settings, wharf: Path
) -> None:
    write(
        wharf,
        "arrivals/2024-01.jsonl.gz",
        {"Ship": "Ada", "crew": 12, "Tons": 1.5, "ok": True, "cargo": {"b": [1, "é"]}, "x": None},
        {"Ship": "", "crew": -1, "ok": False},
    )
    assert land_and_load(settings, "arrivals") == {"arrivals 2024-01": Outcome.NEW}
    assert query(
        settings,
        "select ship, crew, tons, ok, cargo, x from wharf.arrivals order by row_ordinal",
    ) == [
        ("Ada", 12, 1.5, True, '{"b":[1,"é"]}', None),
        (None, -1, None, False, None, None),
    ]
    (raw,) = query(settings, "select table_name, row_count from raw.files where is_current")
    assert raw[1] == 2
    empty = query(settings, f'select "Ship" from raw.{raw[0]} where "Ship" = \'\'')
    assert empty == [("",)], "raw keeps an empty text"
    table = ingestion.dataset("arrivals", settings=settings).read_all()
    assert table.column("tons").to_pylist() == [1.5, None]


def test_a_long_number_and_a_mixture_keep_their_digits(settings: Settings, wharf: Path) -> None:
    rows = [
        {"id": 12345678901234567890, "code": 7, "small": 1},
        {"id": 2, "code": "7b", "small": 2},
    ]
    write(wharf, "arrivals/2024-01.jsonl.gz", *rows)
    land_and_load(settings, "arrivals")
    found = query(settings, "select id, code, small from wharf.arrivals order by row_ordinal")
    assert [tuple(map(str, row)) for row in found] == [
        ("12345678901234567890", "7", "1"),
        ("2", "7b", "2"),
    ]


def test_the_read_schema_is_the_widest_seen_and_a_new_column_is_told(
    settings: Settings, wharf: Path
) -> None:
    write(wharf, "arrivals/2024-01.jsonl.gz", {"ship": "Ada", "crew": 12, "tons": 3})
    land_and_load(settings, "arrivals")
    assert query(settings, "select crew, tons from wharf.arrivals") == [(12, 3)]
    write(
        wharf, "arrivals/2024-02.jsonl.gz", {"ship": "Ida", "crew": "few", "tons": 2.5, "flag": 1}
    )
    report = land(settings, ["arrivals"])
    (february,) = report.of(Outcome.NEW)
    assert february.remarks == (
        "column crew is text, where int64 is known",
        "column tons is double, where int64 is known",
        "new column flag (int64)",
    )
    assert load(settings).failed == {}
    assert query(settings, "select crew, tons, flag from wharf.arrivals order by source_month") == [
        ("12", 3.0, None),
        ("few", 2.5, 1),
    ]


@pytest.mark.parametrize("settings", ["loaded"], indirect=True)
def test_versions_of_files_with_columns_of_their_own_are_compared(
    settings: Settings, wharf: Path
) -> None:
    # names as trips have them, with other types in other versions
    ferry = {"pickup_datetime": "2024-01-01 08:00:00", "fare_amount": 4, "tips": "none"}
    for later in ({"fare_amount": 5.5}, {"fare_amount": 5.5, "pier": "A"}, {"tips": "few"}):
        write(wharf, "arrivals/2024-01.jsonl.gz", ferry, ferry | later)
        land(settings, ["arrivals"])
    first, second, third = compare(settings, "arrivals", date(2024, 1, 1))
    assert [v.fault for v in (first, second, third)] == [None] * 3
    assert first.figures
    assert first.figures.first_pickup == datetime(2024, 1, 1, 8)
    assert first.figures.sums == {"fare_amount": 9.5}
    assert second.changes
    assert second.changes.columns_new == ["pier"]
    assert third.changes
    assert third.changes.sums == {"fare_amount": -1.5}
    assert third.changes.columns_gone == ["pier"]
    assert third.changes.rows


@pytest.mark.parametrize("settings", ["loaded"], indirect=True)
def test_a_scaffold_says_whose_models_need_a_landed_file(
    settings: Settings, wharf: Path, tmp_path: Path
) -> None:
    write(wharf, "arrivals/2024-01.jsonl.gz", {"ship": "Ada"})
    write(wharf, "tides.jsonl", FEET)
    fees = pa.array([Decimal("1.10")], pa.decimal128(6, 2))
    pq.write_table(pa.table({"a fee": fees}), wharf / "berths.parquet")
    land(settings)
    source = registry.sources()["wharf"]
    made = scaffold(settings, source, tmp_path / "models")
    assert len(made.written) == 2 * len(source.datasets)
    assert made.undeclared == {
        "arrivals": 'columns = { ship = "text" }',
        "berths": 'columns = { "a fee" = "decimal(6, 2)" }',
    }
    command = ["source", "scaffold", "wharf", "--out", str(tmp_path / "models")]
    run = subprocess.run(
        [sys.executable, "-m", "orchestration.cli", *command],
        capture_output=True,
        text=True,
        check=True,
    )
    # as it is copied into source.toml
    assert set(made.undeclared.values()) < set(run.stderr.splitlines())


@pytest.mark.parametrize("dataset", ["berths", "moorings"])
def test_a_parquet_file_keeps_the_types_of_its_columns(
    settings: Settings, wharf: Path, dataset: str
) -> None:
    """Those of its own, and those that are declared."""
    noon = datetime(2024, 1, 1, 12, tzinfo=UTC)
    columns = {
        "fee": pa.array([Decimal("1.10"), None], pa.decimal128(12, 2)),
        "since": pa.array([date(2024, 1, 1), None]),
        "seen": pa.array([noon, None], pa.timestamp("us", "UTC")),
        "open": pa.array([True, None]),
        "seal": pa.array([b"\x00\xff", None]),
        "depth": pa.array([1, None], pa.int16()),
    }
    pq.write_table(pa.table(columns), wharf / f"{dataset}.parquet")
    assert land_and_load(settings, dataset) == {dataset: Outcome.NEW}
    (row, _) = query(
        settings,
        f"select fee, since, seen, open, seal, depth from wharf.{dataset} order by row_ordinal",
    )
    fee, since, at, is_open, seal, depth = row
    assert (str(fee), since, at, is_open, depth) == ("1.10", date(2024, 1, 1), noon, True, 1)
    assert bytes(seal) == b"\x00\xff"
    assert land_and_load(settings, dataset) == {dataset: Outcome.UNCHANGED}


FLOATS = [
    (0.0, "0.0"),
    (-0.0, "-0.0"),
    (1.0, "1.0"),
    (-2.5, "-2.5"),
    (0.1, "0.1"),
    (1e6, "1000000.0"),
    (123456789.125, "123456789.125"),
    (-1e15, "-1000000000000000.0"),
    (1234567890123456.5, "1234567890123456.5"),
    (1e16, "1e+16"),
    (1.5e300, "1.5e+300"),
    (1e-4, "0.0001"),
    (1e-5, "1e-05"),
    (5e-324, "5e-324"),
    (math.inf, "inf"),
    (-math.inf, "-inf"),
    (math.nan, "nan"),
    (-math.nan, "nan"),
]
DURATIONS = [
    (timedelta(days=1), "24:00:00"),
    (timedelta(seconds=1.5), "00:00:01.5"),
    (timedelta(days=-40, microseconds=-1), "-960:00:00.000001"),
]


def test_a_value_that_is_declared_as_text_is_the_same_text_on_both_engines(
    settings: Settings, wharf: Path
) -> None:
    noon = datetime(2024, 1, 1, 12, 0, 0, 500)
    cases: dict[str, tuple[pa.DataType, list[tuple[Any, str]]]] = {
        "double": (pa.float64(), FLOATS),
        "float": (pa.float32(), [(0.1, "0.1"), (1e6, "1000000.0"), (1e15, "1000000000000000.0")]),
        "half": (pa.float16(), [(0.5, "0.5"), (2048.0, "2048.0"), (math.nan, "nan")]),
        "us": (pa.duration("us"), DURATIONS),
        "ms": (pa.duration("ms"), [(timedelta(days=1), "24:00:00")]),
        "s": (pa.duration("s"), [(timedelta(days=1), "24:00:00")]),
        "ns": (pa.duration("ns"), [(timedelta(days=1), "24:00:00")]),
        "flag": (pa.bool_(), [(True, "true"), (False, "false")]),
        "day": (pa.date32(), [(date(2024, 1, 31), "2024-01-31")]),
        "at": (pa.timestamp("us"), [(noon, "2024-01-01 12:00:00.0005")]),
        "clock": (pa.time64("us"), [(noon.time(), "12:00:00.0005")]),
        "fee": (pa.decimal128(8, 2), [(Decimal("-1.10"), "-1.10")]),
        "count": (pa.uint64(), [(2**64 - 1, "18446744073709551615")]),
    }
    assert [*cases] == TEXTS
    rows = max(len(values) for _, values in cases.values())
    columns = {
        name: pa.array([v for v, _ in values] + [None] * (rows - len(values)), kind)
        for name, (kind, values) in cases.items()
    }
    pq.write_table(pa.table(columns), wharf / "texts.parquet")
    land_and_load(settings, "texts")
    names = ", ".join(f'"{name}"' for name in cases)
    found = query(settings, f"select {names} from wharf.texts order by row_ordinal")
    for i, (name, (_, values)) in enumerate(cases.items()):
        assert [row[i] for row in found[: len(values)]] == [text for _, text in values], name


@pytest.mark.parametrize("settings", ["loaded"], indirect=True)
def test_a_value_of_another_type_than_declared_is_refused(settings: Settings, wharf: Path) -> None:
    for column in (
        {"open": ["yes"]},
        {"since": [datetime(2024, 1, 1)]},
        {"seen": [datetime(2024, 1, 1)]},
        {"fee": pa.array([Decimal("1.105")], pa.decimal128(6, 3))},
        {"seal": [1]},
    ):
        pq.write_table(pa.table(column), wharf / "moorings.parquet")
        (refused,) = land(settings, ["moorings"]).of(Outcome.QUARANTINED)
        (name,) = column
        assert f"column {name} cannot be read as" in (refused.error or "")


def test_declared_columns_are_held_to_their_types(settings: Settings, wharf: Path) -> None:
    write(wharf, "tides.jsonl", FEET, FEET | {"height": 5})
    land_and_load(settings, "tides")
    at = datetime(2024, 1, 1, 6, 30)
    assert query(
        settings, "select seen, height, station from wharf.tides order by row_ordinal"
    ) == [
        (at, 4.1, None),
        (at, 5.0, None),
    ]


@pytest.mark.parametrize("settings", ["loaded"], indirect=True)
def test_json_lines_with_a_column_that_postgresql_has_itself_are_remarked(
    settings: Settings, wharf: Path
) -> None:
    write(wharf, "tides.jsonl", FEET | {"xmin": 1})
    (tides,) = land(settings, ["tides"]).of(Outcome.NEW)
    assert "cannot be loaded into PostgreSQL: column xmin is one of its own there" in tides.remarks


def test_a_declared_text_may_be_an_object_and_a_number_need_not_be_a_text(
    settings: Settings, wharf: Path
) -> None:
    where = {"type": "Point", "coordinates": [-74.0168, 40.689]}
    write(wharf, "tides.jsonl", FEET | {"height": 4.1, "station": where})
    (tides,) = land(settings, ["tides"]).of(Outcome.NEW)
    assert tides.remarks == ()
    assert load(settings).failed == {}
    ((height, station),) = query(settings, "select height, station from wharf.tides")
    assert (height, json.loads(station)) == (4.1, where)


@pytest.mark.parametrize("settings", ["loaded"], indirect=True)
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"[1, 2]\n", "1 of its 1 lines are JSON, but no object"),
        (b'{"seen": 1', "not readable as JSON lines: .*unexpected end"),
        (b"<html>busy</html>\n", "not readable as JSON lines"),
        (b'{"seen": "2024-01-01"}{"seen": "2024-01-02"}\n', "not readable as JSON lines"),
        (b'{"seen": "2024-01-01", "height": 1, "seen": "2"}\n', "duplicate key"),
        (b'{"seen": "2024-01-01", "height": "\xff"}\n', "invalid UTF-8"),
        (b'{"seen": "2024-01-01", "height": 1, "station": "\\u0000"}\n', "a text without NUL"),
        (b'{"seen": "2024-01-01"}\n', "it has no column height"),
        (b'{"seen": "2024-02-31", "height": 1}\n', "column seen cannot be read as timestamp"),
        (
            b'{"seen": "2024-01-01", "height": "high"}\n',
            "column height cannot be read as double",
        ),
        (b'{"seen": "2024-01-01", "height": true}\n', "column height cannot be read as double"),
        (b'{"seen": "2024-01-01", "height": 1, "Height": 2}\n', "differ only by case: height"),
        (b"{}\n", "its objects are empty"),
    ],
)
def test_a_file_of_other_lines_is_kept_apart(
    content: bytes, reason: str, settings: Settings, wharf: Path
) -> None:
    (wharf / "tides.jsonl").write_bytes(content)
    (tides,) = land(settings, ["tides"]).files
    assert tides.outcome is Outcome.QUARANTINED
    assert tides.error is not None
    assert re.search(reason, tides.error), tides.error
    assert str(wharf) not in tides.error
    assert os.fspath(settings.work_dir) not in tides.error
    (landing,) = Catalog(settings.lake_url).landings
    assert landing.status == "quarantined"
