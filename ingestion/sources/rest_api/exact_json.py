"""JSON that is kept as it was received, and written in one form only.

A number keeps its digits (1.10, 1e400), which a float would change. Only what has no meaning in
JSON is not kept: the order of an object's keys, and blanks between values.
"""

import gzip
import heapq
import io
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any, Self, cast

import orjson
import simplejson
from requests.utils import guess_json_utf

_RUN_BYTES = 64 << 20  # as many are sorted in memory; what is beyond them waits on disk
_BUFFER_BYTES = 128 << 10  # compressed at once
_BYTES_OF_AN_OBJECT = 40  # what Python keeps besides the bytes of a line
_COMPRESSION = 6
_DIGITS_OF_INTEGERS = 4_000  # Python makes no integers of more than 4,300


class Number(Decimal):
    """A number that is written with the digits it was read with, where a decimal has others."""

    __slots__ = ("_text",)
    _text: str

    def __new__(cls, text: str) -> Self:
        """Keep the value and the text."""
        number = super().__new__(cls, text)
        number._text = text
        return number

    def __str__(self) -> str:
        return self._text


def read(content: bytes, declared_encoding: str | None = None) -> Any:
    """Parse JSON; raises ``ValueError`` or ``ArithmeticError`` for what would not be kept."""
    try:
        text = content.decode(guess_json_utf(content) or "utf-8")
    except UnicodeDecodeError:
        text = content.decode(declared_encoding or "utf-8")
    return simplejson.loads(
        text, parse_float=_number, parse_int=_integer, object_pairs_hook=_with_every_key
    )


def _number(text: str) -> Decimal:
    number = Decimal(text)
    return number if str(number) == text else Number(text)


def _integer(text: str) -> int | Number:
    return Number(text) if text == "-0" or len(text) > _DIGITS_OF_INTEGERS else int(text)


def _with_every_key(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"an object has the key {twice!r} twice")
    return found


def lines(rows: Iterable[Any]) -> Iterator[bytes]:
    """Each row as one line, with sorted keys.

    The same row must give the same bytes in every release, as a file of other bytes is a new
    version. orjson is the fast way to them; it refuses what simplejson has to write.
    """
    plain, escaped = (
        simplejson.JSONEncoder(
            ensure_ascii=escapes, use_decimal=True, sort_keys=True, separators=(",", ":")
        )
        for escapes in (False, True)
    )
    for row in rows:
        try:
            yield orjson.dumps(row, _digits, orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)
        except orjson.JSONEncodeError:  # an integer of more than 64 bits, or a very deep value
            try:
                yield plain.encode(row).encode() + b"\n"
            except UnicodeEncodeError:  # half a surrogate pair: JSON has it only as an escape
                yield escaped.encode(row).encode() + b"\n"


def _digits(number: Decimal) -> orjson.Fragment:
    return orjson.Fragment(str(number))


def write_sorted(unsorted: Iterable[bytes], path: Path) -> int:
    """Write lines to a gzip file, sorted, in bounded memory; returns how many they are.

    The same lines in any order give the same bytes. The file is begun when all lines are known.
    """
    # not by DuckDB: its sort of rows of 20 kB needs more memory than its limit, and fails
    count = 0
    with ExitStack() as opened:
        runs = []
        for run in _sorted_runs(unsorted):
            file = opened.enter_context(tempfile.TemporaryFile(dir=path.parent))
            file.writelines(run)
            file.seek(0)
            runs.append(file)
            count += len(run)
        packed = opened.enter_context(path.open("wb"))
        # without the moment and the file's name, which a gzip file holds otherwise
        with (
            gzip.GzipFile("", "wb", _COMPRESSION, packed, mtime=0) as compressed,
            io.BufferedWriter(cast(io.RawIOBase, compressed), _BUFFER_BYTES) as writer,
        ):
            writer.writelines(heapq.merge(*runs))
    return count


def _sorted_runs(unsorted: Iterable[bytes]) -> Iterator[list[bytes]]:
    run: list[bytes] = []
    size = 0
    for line in unsorted:
        run.append(line)
        size += len(line) + _BYTES_OF_AN_OBJECT
        if size > _RUN_BYTES:
            yield sorted(run)
            run, size = [], 0
    yield sorted(run)
