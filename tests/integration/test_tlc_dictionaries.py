"""The columns of TLC's data dictionaries beside those that ``sources/tlc`` declares.

They differ in a few columns, which are listed here with the reason. Where a new dictionary or a new
era differs in another column, a test fails and names it.
"""

import re
from datetime import date, datetime
from pathlib import Path

import pdfplumber
import pytest

from ingestion.sources import registry

# The columns of the files that a dictionary does not have, against the era of the month in which it
# was written. No dictionary has a column that the files of its month lack.
UNDOCUMENTED = {
    # the base that dispatched stands under two names in the files of 2018
    "data_dictionary_trip_records_fhv": {"dispatching_base_number"},
    # in every file of green taxis, and in no dictionary
    "data_dictionary_trip_records_green": {"ehail_fee"},
    "data_dictionary_trip_records_green_2015-09-28": {"ehail_fee"},
    "data_dictionary_trip_records_hvfhs": set(),
    "data_dictionary_trip_records_hvfhs_2022-05-11": set(),
    "data_dictionary_trip_records_yellow": set(),
    "data_dictionary_trip_records_yellow_2015-09-28": set(),
    "data_dictionary_trip_records_yellow_2018-05-01": set(),
    "data_dictionary_trip_records_yellow_2022-05-11": set(),
}
# The same for the newest dictionary of each dataset, against the newest era.
UNDOCUMENTED_TODAY = {
    # the column of the Parquet files since 2015
    "data_dictionary_trip_records_fhv": {"affiliated_base_number"},
    # the newest that we have is of 2018
    "data_dictionary_trip_records_green": {
        "cbd_congestion_fee",
        "congestion_surcharge",
        "ehail_fee",
        "request_source",
    },
    "data_dictionary_trip_records_hvfhs": set(),
    # new in June 2026; the dictionary is of March 2025
    "data_dictionary_trip_records_yellow": {"request_source"},
}
DATASETS = {"yellow": "yellow", "green": "green", "fhv": "fhv", "hvfhs": "fhvhv"}


def dictionary(path: Path) -> tuple[date, set[str]]:
    """The date of a dictionary, and its field names as the read views spell them."""
    names: set[str] = set()
    with pdfplumber.open(path) as pdf:
        head = re.search(r"([A-Z][a-z]+) ?(\d{1,2}), ?(\d{4})", pdf.pages[0].extract_text())
        assert head, f"{path.name} has no date"
        for page in pdf.pages:
            for table in page.extract_tables():
                # a cell that wraps has a line end or a blank within a name
                names |= {re.sub(r"\s", "", row[0]).lower() for row in table if row[0]}
    return datetime.strptime(" ".join(head.groups()), "%B %d %Y").date(), names


def differences(path: Path, month: date | None = None) -> tuple[set[str], set[str]]:
    """The names that only the files of the month have, and those that only the dictionary has.

    Without a month it is the one in which the dictionary was written.
    """
    written, documented = dictionary(path)
    dataset = registry.datasets()[DATASETS[path.stem.split("_")[4]]]
    documented = {dataset.read_name(name) for name in documented}
    month = month or written.replace(day=1)
    # of a month that has two editions, the one that is nearer to the dictionary
    as_csv = dataset.last_csv_month and month <= dataset.last_csv_month
    era = dataset.csv_era(month, documented) if as_csv else dataset.era(month)
    published = {dataset.read_name(column.name) for column in era.columns}
    return published - documented, documented - published


@pytest.fixture(scope="module")
def dictionaries(real_data: Path) -> dict[str, Path]:
    return {p.stem: p for p in (real_data / "docs").rglob("data_dictionary_*.pdf")}


def test_every_dictionary_has_the_columns_of_its_month(dictionaries: dict[str, Path]) -> None:
    found = {name: differences(path) for name, path in dictionaries.items()}
    assert found == {name: (columns, set()) for name, columns in UNDOCUMENTED.items()}


@pytest.mark.parametrize("name", UNDOCUMENTED_TODAY)
def test_the_newest_dictionary_has_the_columns_of_the_newest_era(
    name: str, dictionaries: dict[str, Path]
) -> None:
    assert differences(dictionaries[name], date.max) == (UNDOCUMENTED_TODAY[name], set())


def test_a_dictionary_is_read_whole(dictionaries: dict[str, Path]) -> None:
    # a table that goes on on a second page, and a name that wraps in its cell
    written, names = dictionary(dictionaries["data_dictionary_trip_records_green_2015-09-28"])
    assert written == date(2015, 9, 28)
    assert {"trip_type", "dropoff_latitude", "vendorid"} <= names
    assert len(names) == 20
