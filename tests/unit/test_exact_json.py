"""JSON that is read and written without a change, in one form."""

import gzip
import io
import json
import random
from functools import reduce
from pathlib import Path

import pytest
import simplejson
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ingestion.sources.rest_api import exact_json

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
ROWS = st.lists(st.dictionaries(st.text(), VALUES, max_size=4), max_size=5)


def written(content: bytes) -> list[str]:
    return [line.decode().removesuffix("\n") for line in exact_json.lines(exact_json.read(content))]


@settings(deadline=None)
@given(ROWS)
def test_rows_are_read_and_written_without_a_change(rows: list[dict[str, object]]) -> None:
    # repr tells -0.0 from 0.0 and 1 from 1.0 and True
    lines = written(json.dumps(rows).encode())
    assert [repr(_sorted(json.loads(line))) for line in lines] == [repr(_sorted(r)) for r in rows]


@settings(deadline=None)
@given(st.lists(st.dictionaries(st.text(), VALUES, max_size=4), max_size=5))
@example([{"\x7f\x1b\u2028": '"/\\', "😀": "é", "b": [10**19, -(2**63)], "": {}}])
@example([{"half a pair": "\ud800", "n": 2**64}, reduce(lambda deep, _: [deep], range(300), {})])
def test_the_one_form_is_that_of_every_release(rows: list[object]) -> None:
    # other bytes would make a new version of every file that has not changed
    content = json.dumps(rows).encode()
    assert written(content) == [_as_ever(row) for row in exact_json.read(content)]


def _as_ever(row: object, *, ascii_only: bool = False) -> str:
    line = simplejson.dumps(
        row, ensure_ascii=ascii_only, use_decimal=True, sort_keys=True, separators=(",", ":")
    )
    is_text = not any("\ud800" <= character <= "\udfff" for character in line)
    return line if is_text else _as_ever(row, ascii_only=True)


def _sorted(value: object) -> object:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    "number",
    ["1.10", "-0", "-0.0", "1E5", "1e400", "1e-400", "12345678901234567890123", "9" * 5000],
)
def test_a_number_keeps_its_digits(number: str) -> None:
    assert written(f'[{{"n": [{number}]}}]'.encode()) == [f'{{"n":[{number}]}}']


@pytest.mark.parametrize(
    ("encoding", "declared"),
    [("utf-8", "ISO-8859-1"), ("utf-8-sig", None), ("utf-16", None), ("latin-1", "latin-1")],
)
def test_text_is_read_in_every_encoding(encoding: str, declared: str | None) -> None:
    content = '[{"zone": "Zürich ☂"}]' if encoding != "latin-1" else '[{"zone": "Zürich"}]'
    assert exact_json.read(content.encode(encoding), declared) == json.loads(content)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'[{"a": 1, "b": {"c": 1, "c": 2}}]', "an object has the key 'c' twice"),
        (b'[{"a": NaN}]', "Expecting value"),
        (b'[{"a": 1}', "Expecting ',' delimiter"),
        (b"[] []", "Extra data"),
        (b'["\xff"]', "can't decode byte 0xff"),
    ],
)
def test_what_would_not_be_kept_is_refused(content: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        exact_json.read(content)


def test_the_same_lines_are_the_same_bytes(tmp_path: Path) -> None:
    lines = [f"{n % 70}\n".encode() for n in range(100)]
    random.Random(1).shuffle(lines)
    assert exact_json.write_sorted(lines, tmp_path / "one") == 100
    assert exact_json.write_sorted(reversed(lines), tmp_path / "another name") == 100
    assert (tmp_path / "one").read_bytes() == (tmp_path / "another name").read_bytes()
    packed = io.BytesIO()
    with gzip.GzipFile("", "wb", 6, packed, mtime=0) as line_by_line:
        for line in sorted(lines):
            line_by_line.write(line)
    assert (tmp_path / "one").read_bytes() == packed.getvalue()
    assert gzip.decompress((tmp_path / "one").read_bytes()) == b"".join(sorted(lines))
    assert exact_json.write_sorted([], tmp_path / "one") == 0
