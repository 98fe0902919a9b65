"""Decimals that not every engine reads as they are."""

import re
from collections.abc import Iterable

from ingestion.sources.read_types import MOST_DIGITS

# also within a list, a struct or a dictionary
_DIGITS = re.compile(r"\bdecimal\d*\((\d+), ?-?\d+\)")


def wide_decimals(columns: Iterable[tuple[str, str]]) -> str | None:
    """Why a file with these columns, as (name, type), cannot be trusted; none if it can.

    DuckDB 1.5 takes a decimal of more digits for a double, and a wrong one: 2.55 becomes 7e14.
    """
    for name, file_type in columns:
        if "decimal" not in file_type:
            continue
        digits = max(map(int, _DIGITS.findall(file_type)), default=0)
        if digits > MOST_DIGITS:
            return (
                f"column {name} holds decimals of {digits} digits, where {MOST_DIGITS} are the most"
                " that every engine reads"
            )
    return None
