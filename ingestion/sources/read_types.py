"""Read types: how a column of any file format is read, by names that every engine knows."""

import re
from collections.abc import Iterable
from functools import reduce

# one of TYPES (a timestamp is without a zone), or decimal(digits, digits after the point)
ReadType = str

# the types that a text can be read as
OF_TEXT: tuple[ReadType, ...] = ("bigint", "double", "text", "timestamp")
TYPES: tuple[ReadType, ...] = (*OF_TEXT, "boolean", "date", "binary", "timestamptz")
MOST_DIGITS = 38  # of a decimal in every engine
# A type to the right can hold every value of one to its left.
_WIDTH: tuple[ReadType, ...] = ("bigint", "double", "timestamp", "text")
_DECIMAL = re.compile(r"decimal(?:\d+)?\((\d+), ?(\d+)\)")
# the file types that are read as each type, as Arrow names them; "text" and "json" are ours
_READ_AS: tuple[tuple[str, ReadType], ...] = (
    (r"u?int(8|16|32)|int64", "bigint"),
    (r"uint64", "decimal(20, 0)"),
    (r"halffloat|float|double", "double"),
    (r"bool", "boolean"),
    (r"date(32|64)\[.*\]", "date"),
    (r"timestamp\[[a-z]+\]", "timestamp"),
    (r"timestamp\[.*tz=.*\]", "timestamptz"),
    (r"(large_|fixed_size_)?binary(\[\d+\])?", "binary"),
)


def read_type_of(file_type: str) -> ReadType | None:
    """The read type that holds every value of a file's type; none for the type of no values."""
    if file_type == "null":
        return None
    if found := _DECIMAL.fullmatch(file_type):
        return f"decimal({min(int(found[1]), MOST_DIGITS)}, {found[2]})"
    return next((t for pattern, t in _READ_AS if re.fullmatch(pattern, file_type)), "text")


def declared_type(text: str) -> ReadType:
    """The read type that a source declares; raises ``ValueError`` for any other text."""
    if found := _DECIMAL.fullmatch(text):
        digits, after = int(found[1]), int(found[2])
        if not 1 <= digits <= MOST_DIGITS or after > digits:
            raise ValueError(f"{text}: a decimal has at most {MOST_DIGITS} digits in all")
        return f"decimal({digits}, {after})"
    if text not in TYPES:
        raise ValueError(f"a type is {', '.join(TYPES)} or decimal(digits, digits after the point)")
    return text


def widest(read_types: Iterable[ReadType]) -> ReadType:
    """The read type that holds every value of all these types; text for none."""
    return reduce(_wider, dict.fromkeys(read_types), "") or "text"


def _wider(one: ReadType, other: ReadType) -> ReadType:
    if not one or one == other:
        return other
    both = {one, other}
    if both <= set(_WIDTH):
        return max(both, key=_WIDTH.index)
    if both == {"date", "timestamp"}:
        return "timestamp"
    decimals = [_digits(t) for t in both if t.startswith("decimal") or t == "bigint"]
    if len(decimals) == len(both):
        scale = max(after for _, after in decimals)
        digits = max(before for before, _ in decimals) + scale
        return f"decimal({digits}, {scale})" if digits <= MOST_DIGITS else "text"
    return "double" if "double" in both and decimals else "text"


def _digits(read_type: ReadType) -> tuple[int, int]:
    """The digits before and after the point that a type can hold."""
    if read_type == "bigint":
        return 19, 0
    found = _DECIMAL.fullmatch(read_type)
    assert found, "a decimal says how many digits it has"
    return int(found[1]) - int(found[2]), int(found[2])
