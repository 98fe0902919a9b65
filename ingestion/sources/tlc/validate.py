"""Checks a reference file row by row: its keys, its months and its numbers.

A refused file never reaches the models, which would fail on it every night; the version before
stays in use. The models can read all that passes: rows of TLC's report that are blank or repeated
word for word, a class in any case, and numbers as people write them.
"""

import re
from collections.abc import Mapping, Sequence

from ingestion.errors import SHOWN_CHARACTERS, UntrustedFileError
from ingestion.sources.base import RowCheck

LARGEST_ZONE = 2**31 - 1
WHOLE = 100  # percent
_ZONE = re.compile(r"\d{1,10}", re.ASCII)  # Python makes no number of some thousand digits
# The models read no text of another century as a time.
_MONTH = re.compile(r"(19|20)\d{2}-(0[1-9]|1[0-2])", re.ASCII)
# 1,234 · 12.5 · 75% · - for none; a no-break space may separate thousands or surround the number.
# 1,5 is none: whoever writes a comma for the point would be read as 15.
_NUMBER = re.compile(r"(\d{1,18}|\d{1,3}([,\u00a0]\d{3}){1,5})(\.\d{0,17})?\u00a0?%?", re.ASCII)
_NONE = ("", "-", "null")
_BLANKS = " \t\u00a0"

# The header of TLC's report as its read names, in its order.
REPORT_COLUMNS = {
    "Month/Year": "month_year",
    "License Class": "license_class",
    "Trips Per Day": "trips_per_day",
    "Farebox Per Day": "farebox_per_day",
    "Unique Drivers": "unique_drivers",
    "Unique Vehicles": "unique_vehicles",
    "Vehicles Per Day": "vehicles_per_day",
    "Avg Days Vehicles on Road": "avg_days_vehicles_on_road",
    "Avg Hours Per Day Per Vehicle": "avg_hours_per_day_per_vehicle",
    "Avg Days Drivers on Road": "avg_days_drivers_on_road",
    "Avg Hours Per Day Per Driver": "avg_hours_per_day_per_driver",
    "Avg Minutes Per Trip": "avg_minutes_per_trip",
    "Percent of Trips Paid with Credit Card": "percent_of_trips_paid_with_credit_card",
    "Trips Per Day Shared": "trips_per_day_shared",
}
_SHARE = "Percent of Trips Paid with Credit Card"


def zone_row_check(places: Mapping[str, int]) -> RowCheck:
    """The check of a row of the zone lookup: its key is a number, and is unique."""
    seen: dict[int, int] = {}

    def check(line: int, row: Sequence[str]) -> bool:
        written = row[places["locationid"]]
        zone = written.strip(" ")
        if not (_ZONE.fullmatch(zone) and 0 < int(zone) <= LARGEST_ZONE):
            raise _misfit(line, "LocationID", "is no number of a zone", written)
        first = seen.setdefault(int(zone), line)
        if first != line:
            raise _misfit(line, "LocationID", f"stands on line {first} too", written)
        return True

    return check


def report_row_check(places: Mapping[str, int]) -> RowCheck:
    """The check of a row of the monthly report; a blank row holds nothing."""
    month_name, class_name, *number_names = REPORT_COLUMNS
    numbers = [
        (name, places[REPORT_COLUMNS[name]])
        for name in number_names
        if REPORT_COLUMNS[name] in places
    ]
    seen: dict[tuple[str, str], tuple[int, Sequence[str]]] = {}

    def check(line: int, row: Sequence[str]) -> bool:
        if not any(field.strip(_BLANKS) for field in row):
            return False
        month = row[places["month_year"]]
        if not _MONTH.fullmatch(month):
            raise _misfit(line, month_name, "is no month as 2024-01", month)
        written = row[places["license_class"]]
        if not written.strip(_BLANKS):
            raise _misfit(line, class_name, "is blank", written)
        for name, place in numbers:
            text = row[place].strip(_BLANKS)
            if text.lower() not in _NONE and not _NUMBER.fullmatch(text):
                raise _misfit(line, name, "is no number", row[place])
            if name == _SHARE and text.lower() not in _NONE and _value(text) > WHOLE:
                raise _misfit(line, name, "is more than 100 %", row[place])
        key = (month, written.strip(_BLANKS).lower())
        first, same = seen.setdefault(key, (line, row))
        if list(same) != list(row):
            error = f"has other figures for {month} on line {first}"
            raise _misfit(line, class_name, error, written)
        return True

    return check


def _value(number: str) -> float:
    return float(re.sub("[,\u00a0%]", "", number))


def _misfit(line: int, column: str, error: str, value: str) -> UntrustedFileError:
    return UntrustedFileError(f"line {line}: {column} {error}: {value[:SHOWN_CHARACTERS]!r}")
