"""Values of the warehouse as JSON has them, cut where they are long."""

import json
import math
from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

EXACT = 2**53  # JavaScript, in which many clients are written, has no larger whole numbers
CELL_CHARACTERS = 2_000


def plain(value: Any) -> Any:
    """A value as JSON has it; a number that a client would round is given as text."""
    match value:
        case bool() | None:
            return value
        case str():
            return short(value)
        case int():
            return value if abs(value) < EXACT else str(value)
        case float():
            return value if math.isfinite(value) else None
        case Decimal():
            return _number(value)
        case date():
            return value.isoformat()
        case bytes() | bytearray() | memoryview():
            return short(bytes(value).hex())
        case dict():
            return _nested({str(key): plain(item) for key, item in value.items()})
        case list() | tuple() | set():
            return _nested([plain(item) for item in value])
        case _:
            return short(str(value))


def short(text: str, most: int = CELL_CHARACTERS) -> str:
    """A text that is no longer than allowed; one that is cut says how long it was."""
    if len(text) <= most:
        return text
    return f"{text[:most]}… (cut: it has {len(text):,} characters)"


def fitting(rows: Iterable[Sequence[Any]], most: int, characters: int) -> list[list[Any]]:
    """The first rows, as JSON has them: no more than ``most``, and no more text than allowed."""
    found: list[list[Any]] = []
    size = 0
    for row in rows:
        values = [plain(value) for value in row]
        size += len(json.dumps(values))
        if len(found) == most or (found and size > characters):
            break
        found.append(values)
    return found


def _number(value: Decimal) -> Any:
    if not value.is_finite():
        return None
    if value == value.to_integral_value():
        return plain(int(value))
    near = float(value)
    return near if Decimal(repr(near)) == value else f"{value:f}"


def _nested(value: Any) -> Any:
    text = json.dumps(value)
    return value if len(text) <= CELL_CHARACTERS else short(text)
