"""The seed of holidays: what the package `holidays` says of the days in dim_dates.

To write it again: uv run python -m tests.support.holiday_seed
"""

import csv
import io
from pathlib import Path

from ingestion.settings import PROJECT_ROOT

SEED = PROJECT_ROOT / "dbt_project" / "seeds" / "holidays.csv"
YEARS = range(2009, 2036)


def holiday_rows() -> str:
    """The holidays of the United States and of New York State as CSV: one row a day."""
    import holidays

    federal = holidays.country_holidays("US", years=YEARS)
    # what the state keeps beside them, as Lincoln's Birthday and Election Day
    state = holidays.country_holidays("US", subdiv="NY", years=YEARS)
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["date_day", "holiday", "is_federal_holiday", "is_new_york_holiday"])
    for day in sorted({*federal, *state}):
        if day.year in YEARS:
            # a day that is two holidays has both names, with a semicolon between
            names = state.get(day) or federal[day]
            rows.writerow([day, names, str(day in federal).lower(), str(day in state).lower()])
    return text.getvalue()


def write(path: Path = SEED) -> None:
    """Write the seed."""
    path.write_text(holiday_rows())


if __name__ == "__main__":
    write()
