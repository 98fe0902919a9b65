"""The questions of docs/questions.md: each query gives the answer that the page shows."""

import re
import shutil
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ingestion.settings import PROJECT_ROOT
from tests.e2e.conftest import Place
from tests.e2e.test_shipped_sources import WEATHER, noaa, records
from tests.support import postgres
from tests.support.api import serving_api

pytestmark = pytest.mark.slow

PAGE = PROJECT_ROOT / "docs" / "questions.md"
# the files that the page names
MONTHS = (
    *(f"green_tripdata_{m}" for m in ("2024-01", "2024-02", "2025-01", "2025-02")),
    *("yellow_tripdata_2020-02", "fhvhv_tripdata_2020-04", "fhv_tripdata_2020-04"),
)
SAMPLE_OF_YELLOW = "yellow_tripdata_2025-02_5000_rows.parquet"


def questions() -> dict[str, tuple[str, str]]:
    """The query and the answer below each heading of the page."""
    found = re.findall(
        r"^## ([^\n]+)\n(?:(?!^## ).)*?^```sql\n(.*?)^```\n+((?:^\|[^\n]*\n)+)",
        PAGE.read_text(),
        flags=re.MULTILINE | re.DOTALL,
    )
    return {title: (query, answer) for title, query, answer in found}


def as_table(columns: list[str], rows: list[tuple[Any, ...]]) -> str:
    """An answer as the page shows it."""
    lines = [columns, ["---"] * len(columns), *([_shown(value) for value in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, date):
        return value.isoformat()
    # PostgreSQL's sums of whole numbers are decimals without a fraction
    if isinstance(value, float) or (isinstance(value, Decimal) and value.as_tuple().exponent != 0):
        return f"{value:.2f}"
    return str(value)


@pytest.fixture(scope="module")
def real(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Real months, TLC's report and the weather on DuckDB and PostgreSQL, from one lake."""
    place = Place(tmp_path_factory.mktemp("questions"))
    trip_data = place.published / "trip-data"
    trip_data.mkdir(parents=True)
    for month in MONTHS:
        shutil.copy(real_data / "trip-data" / f"{month}.parquet", trip_data)
    shutil.copy(
        real_data / "samples" / SAMPLE_OF_YELLOW, trip_data / "yellow_tripdata_2025-02.parquet"
    )
    shutil.copytree(real_data / "misc", place.published / "misc")
    with (
        serving_api() as api,
        postgres.server(tmp_path_factory.mktemp("postgres")) as server,
        postgres.database(server) as variables,
    ):
        api.routes[WEATHER] = noaa(records(real_data / "weather" / "central_park_weather.csv"))
        place.env |= variables | {
            "MEDALLION_ENABLED_SOURCES": "tlc,weather",
            "MEDALLION_WEATHER_URL": api.url,
        }
        place.medallion("land", "--quiet")
        place.medallion(
            *("land", "--quiet", "--dataset", "central_park_daily"),
            *("--from", "2024-01", "--to", "2024-02"),
        )
        for target in ("duckdb", "postgres"):
            place.medallion("load", "--quiet", "--target", target)
            # the tests of the models are run by others
            place.dbt("build", "--exclude-resource-types", "unit_test", "test", "--target", target)
        yield place


def test_the_page_has_the_twelve_questions() -> None:
    assert len(questions()) == 12


@pytest.mark.parametrize("title", questions())
def test_a_query_of_the_page_gives_its_answer_on_both_engines(real: Place, title: str) -> None:
    query, answer = questions()[title]
    with real.connect() as connection:
        result = connection.execute(query)
        on_duckdb = as_table([column[0] for column in result.description], result.fetchall())
    connection = postgres.connect(real.env)
    try:
        with connection.cursor() as cursor:
            cursor.execute(query)
            columns = [column.name for column in cursor.description or ()]
            on_postgres = as_table(columns, cursor.fetchall())
    finally:
        connection.close()
    assert on_duckdb == on_postgres
    assert on_duckdb == answer
