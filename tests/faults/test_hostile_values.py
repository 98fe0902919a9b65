"""Months of hostile values: each row and value reaches the marts or is said, on both engines.

Hypothesis makes the months, all of them go into one warehouse an engine, and what the marts hold is
compared with what Python reads in the files.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ingestion.sources.files.publisher import months_between
from ingestion.sources.tlc.datasets import DATASETS, TRIP_DATASETS
from tests.e2e.conftest import Place
from tests.faults.conftest import Tally
from tests.support import postgres
from tests.support.trips import ZONES, publish, trips

pytestmark = pytest.mark.slow

# what the facts call the columns of a file that hold a distance or an amount of money
TAXI = {
    "trip_distance": "trip_miles",
    "fare_amount": "fare_usd",
    "extra": "extra_usd",
    "mta_tax": "mta_tax_usd",
    "tip_amount": "tip_usd",
    "tolls_amount": "tolls_usd",
    "improvement_surcharge": "improvement_surcharge_usd",
    "congestion_surcharge": "congestion_surcharge_usd",
    "total_amount": "total_usd",
}
MEASURES: dict[str, dict[str, str]] = {
    "yellow": {**TAXI, "airport_fee": "airport_fee_usd"},
    "green": {**TAXI, "ehail_fee": "ehail_fee_usd"},
    "fhv": {},
    "fhvhv": {
        "trip_miles": "trip_miles",
        "base_passenger_fare": "fare_usd",
        "tolls": "tolls_usd",
        "bcf": "black_car_fund_usd",
        "sales_tax": "sales_tax_usd",
        "congestion_surcharge": "congestion_surcharge_usd",
        "airport_fee": "airport_fee_usd",
        "tips": "tip_usd",
        "driver_pay": "driver_pay_usd",
    },
}
IDS = {
    "vendorid": "vendor_id",
    "pulocationid": "pickup_zone_id",
    "dolocationid": "dropoff_zone_id",
    "ratecodeid": "rate_code_id",
    "trip_type": "trip_type_id",
    "sr_flag": "shared_ride_flag",
}
LIMITS = [0.0, -0.0, 1e-308, 5e-324, 1e5, 100_000.01, 1e15, 1e300, 1.7976931348623157e308]
DOUBLES = st.one_of(
    st.none(),
    st.sampled_from([math.nan, math.inf, -math.inf, *LIMITS, *(-x for x in LIMITS)]),
    st.floats(),
    st.floats(0, 100).map(lambda x: round(x, 2)),
)
WHOLE = st.one_of(
    st.none(),
    st.sampled_from([-(2**63), -(2**31) - 1, -(2**31), -1, 0, 2**31 - 1, 2**31, 2**63 - 1]),
    st.integers(0, 300),
)
FIRST_TIME, LAST_TIME = -2_440_588 * 86_400_000_000, 106_751_990 * 86_400_000_000
TIMES = st.one_of(
    st.none(),
    st.sampled_from([FIRST_TIME, LAST_TIME, -62_135_596_800_000_000, 253_402_300_799_999_999]),
    st.integers(FIRST_TIME, LAST_TIME),
)
TEXTS = st.one_of(
    st.none(),
    st.sampled_from(["", " ", "'", '"', "\\", "{{ 1 }}", "null", "NaN", "\u00a0", "\U0001f695"]),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8),
)


# months of one era of every dataset each
SPANS = [
    (date(2019, 3, 1), date(2022, 12, 1)),
    (date(2023, 3, 1), date(2024, 12, 1)),
    (date(2025, 2, 1), date(2026, 5, 1)),
]


@dataclass(frozen=True)
class Month:
    """One generated file."""

    dataset: str
    month: date
    table: pa.Table

    def column(self, read: str) -> list[Any]:
        """The values of a column, by the name that the read view gives it."""
        names = {DATASETS[self.dataset].read_name(name): name for name in self.table.column_names}
        return self.table[names[read]].to_pylist() if read in names else [None] * len(self.table)


def generated(count: int, anew: bool) -> list[Month]:
    """Let hypothesis make months; the same ones each time, unless ``anew``."""
    months: list[Month] = []
    taken: Counter[tuple[str, date]] = Counter()

    @settings(
        max_examples=count,
        phases=[Phase.generate],
        derandomize=not anew,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def make(data: st.DataObject) -> None:
        dataset = data.draw(st.sampled_from(list(MEASURES)))
        # the era decides what is drawn next, so it may not follow from what was taken
        first, last = data.draw(st.sampled_from(SPANS))
        free = months_between(first, last)
        nth = min(taken[dataset, first], len(free) - 1)
        table = hostile(data, dataset, free[nth], nth)
        taken[dataset, first] += 1
        if taken[dataset, first] <= len(free):
            months.append(Month(dataset, free[nth], table))

    make()
    return months


def hostile(data: st.DataObject, dataset: str, month: date, seed: int) -> pa.Table:
    """A month of ordinary trips with some columns gone, moved, renamed, or full of bad values."""
    table = sound(dataset, trips(dataset, month, data.draw(st.integers(2, 6)), seed), month)
    required = {c.name for c in DATASETS[dataset].era(month).columns if c.required}
    optional = [name for name in table.column_names if name not in required]
    table = table.drop_columns(data.draw(st.lists(st.sampled_from(optional), unique=True)))
    names = st.sampled_from(table.column_names)
    for name in data.draw(st.lists(names, unique=True, max_size=5)):
        kind = table.schema.field(name).type
        if pa.types.is_floating(kind):
            values = DOUBLES
        elif pa.types.is_timestamp(kind):
            values = TIMES
        elif pa.types.is_integer(kind):
            values, kind = WHOLE, pa.int64()
        else:
            values = TEXTS
        drawn = data.draw(st.lists(values, min_size=len(table), max_size=len(table)))
        column = pa.array(drawn, pa.int64() if pa.types.is_timestamp(kind) else kind).cast(kind)
        table = table.set_column(table.column_names.index(name), name, column)
    if data.draw(st.booleans()):  # rows that stand there twice
        table = pa.concat_tables([table, table.slice(0, 1)])
    for name, values in data.draw(st.sampled_from(ADDED)).items():
        table = table.append_column(name, pa.array([values] * len(table)))
    table = table.select(data.draw(st.permutations(table.column_names)))
    spell = data.draw(st.sampled_from([str, str.lower, str.upper]))
    return table.rename_columns([spell(name) for name in table.column_names])


# columns that nobody knows
ADDED: list[dict[str, Any]] = [
    {},
    {"a'b\"c; drop table x --": 1},
    {"nested": {"a": [1, 2], "b": {"c": "d"}}},
    {"{{ exceptions }}": "{% raw %}", "ünïcödé \U0001f695": None},
]


def sound(dataset: str, table: pa.Table, month: date) -> pa.Table:
    """Let every trip of a table be valid: ten minutes long, a mile far."""
    begin = datetime(month.year, month.month, 2, 8)
    for name in table.column_names:
        rows, kind, read = len(table), table.schema.field(name).type, name.lower()
        if pa.types.is_timestamp(kind):
            after = timedelta(minutes=10 if "dropoff" in read else 0)
            values: list[Any] = [begin + after + timedelta(hours=7 * i) for i in range(rows)]
        elif read == "trip_time":
            values = [600] * rows
        elif MEASURES[dataset].get(read) == "trip_miles":
            values = [1.0] * rows
        else:
            continue
        table = table.set_column(table.column_names.index(name), name, pa.array(values).cast(kind))
    return table


Facts = dict[int, dict[str, Any]]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A place where nothing was done yet."""
    made = Place(tmp_path)
    made.published.mkdir()
    return made


def test_every_row_and_value_reaches_the_marts(
    place: Place, tmp_path: Path, tally: Tally, at_length: bool
) -> None:
    months = generated(70 if at_length else 24, anew=at_length)
    publish(place.published, "taxi_zone_lookup", None, ZONES)
    for month in months:
        publish(place.published, month.dataset, month.month, month.table)
    found = {}
    with (
        postgres.server(tmp_path / "server") as server,
        postgres.database(server) as variables,
    ):
        place.env |= variables
        place.medallion("run", "--quiet")
        with duckdb.connect(place.warehouse, read_only=True) as connection:
            found["DuckDB"] = _read(lambda sql: connection.execute(sql))
        # PostgreSQL cannot hold a nested column, and the run says of which months
        nested = [m for m in months if "nested" in map(str.lower, m.table.column_names)]
        place.medallion("run", "--quiet", "--target", "postgres", expect=1 if nested else 0)
        silent = sum(
            f"{m.dataset}_tripdata_{m.month:%Y_%m}__" not in place.last_stderr for m in nested
        )
        connected = postgres.connect(place.env)
        try:
            with connected.cursor() as cursor:
                found["PostgreSQL"] = _read(lambda sql: cursor.execute(sql) or cursor)
        finally:
            connected.close()
    for engine, (facts, days, ledger) in found.items():
        held = [m for m in months if engine == "DuckDB" or m not in nested]
        balanced = {(row["dataset"], row["month"]) for row in ledger if row["is_balanced"]}
        assert balanced == {(m.dataset, m.month) for m in held}
        expected = sum(len(month.table) for month in held)
        wrong = sum(_wrong_values(month, facts) for month in held) + _wrong_days(facts, days)
        tally(
            f"NaN, extremes, odd columns and types in a month, on {engine}",
            times=len(held),
            lost=max(expected - len(facts), 0),
            doubled=max(len(facts) - expected, 0),
            wrong=wrong,
            silent=0 if engine == "DuckDB" else silent,
        )
    on_duckdb, on_postgres = (_alike(found[engine][0]) for engine in ("DuckDB", "PostgreSQL"))
    assert {key: on_duckdb[key] for key in on_postgres} == on_postgres


def _read(execute: Any) -> tuple[Facts, list[dict[str, Any]], list[dict[str, Any]]]:
    def rows(sql: str) -> Iterator[dict[str, Any]]:
        cursor = execute(sql)
        names = [d[0] for d in cursor.description]
        return (dict(zip(names, row, strict=True)) for row in cursor.fetchall())

    # Python's own times end with the year 9999
    facts = rows(
        "select trip_id, service, source_month, is_valid, invalid_reason, trip_seconds,"
        " cast(pickup_at as varchar(40)) as pickup_at, passenger_count, payment_type_id, "
        + ", ".join(
            sorted(
                {c for m in MEASURES.values() for c in m.values()} | {*IDS.values()} | {"total_usd"}
            )
        )
        + " from marts.fct_trips"
    )
    return (
        {row["trip_id"]: row for row in facts},
        list(rows("select * from marts.daily_trips")),
        list(rows("select * from marts.ledger")),
    )


def _wrong_values(month: Month, facts: Facts) -> int:
    """How many values of a file the facts do not have, or have as something else."""
    dataset_code = 1 + TRIP_DATASETS.index(DATASETS[month.dataset])
    code = dataset_code * 10**6 + month.month.year * 100 + month.month.month
    of_rows = [facts.get(code * 10**11 + i, {}) for i in range(len(month.table))]
    wrong = 0
    for read, name in MEASURES[month.dataset].items():
        pairs = zip(month.column(read), of_rows, strict=True)
        wrong += sum(not _same(value, row.get(name)) for value, row in pairs)
    for read, name in IDS.items():
        if read in DATASETS[month.dataset].read_schema:
            pairs = zip(month.column(read), of_rows, strict=True)
            wrong += sum(_as_integer(value) != row.get(name) for value, row in pairs)
    measured = list(zip(*(month.column(read) for read in MEASURES[month.dataset]), strict=True))
    for values, row in zip(measured, of_rows, strict=False):
        no_number = any(v is not None and not math.isfinite(v) for v in values)
        too_much = any(v is not None and abs(v) > 100_000 for v in values)
        wrong += bool(row.get("is_valid")) and (no_number or too_much)
    return wrong


def _same(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return one == other or (math.isnan(one) and math.isnan(other))


def _as_integer(value: float | None) -> int | None:
    if value is None or not -(2**31) <= value <= 2**31 - 1:
        return None
    return round(value)


def _wrong_days(facts: Facts, days: list[dict[str, Any]]) -> int:
    """How many days do not have the trips and the sums of the valid rows."""
    by_day: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in facts.values():
        if row["is_valid"]:
            by_day[row["service"], row["pickup_at"][:10]].append(row)
    wrong = len(by_day.keys() ^ {(d["service"], str(d["pickup_date"])) for d in days})
    for day in days:
        of_day = by_day[day["service"], str(day["pickup_date"])]
        wrong += day["trips"] != len(of_day)
        for name in ("fare_usd", "tip_usd", "total_usd", "driver_pay_usd", "trip_miles"):
            values = [row[name] for row in of_day if row.get(name) is not None]
            if not values or day[name] is None:
                wrong += bool(values) or day[name] is not None
            else:
                wrong += not abs(float(day[name]) - math.fsum(values)) <= 0.0051
    return wrong


def _alike(facts: Facts) -> dict[int, str]:
    def plain(value: Any) -> Any:
        # DuckDB stores equal values that follow each other once, so that 0.0 may become -0.0
        return value + 0.0 if isinstance(value, float) else value

    return {
        key: repr({name: plain(value) for name, value in row.items() if name != "pickup_at"})
        for key, row in sorted(facts.items())
    }
