"""A CSV file as text: its rows exactly as written, with any of our readers.

Python's strict reader defines the rows when a file is checked. Two faster readers load it:
pyarrow's and DuckDB's. The three agree on every file that passes the check: one line is one row, a
blank line is no row, and an empty field is an empty text, never null.
"""

import csv
import gzip
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from ingestion.errors import UntrustedFileError
from ingestion.formats.limits import LONGEST_TEXT, MOST_BLANK_LINES, most_unpacked

if TYPE_CHECKING:
    import pyarrow as pa

LONGEST_LINE = LONGEST_TEXT  # characters: Python's limit for one field
LINE_END = 2  # characters at most
BLOCK_BYTES = 4 << 20
_UNCLOSED = "a quote is not closed"
# Blanks before a quote: DuckDB drops the blanks and reads the quotes; the others keep both. Only a
# line that may have such a field is checked field by field.
_BLANKS_BEFORE_QUOTE = re.compile(r'(?:^|,)\s+"')
_QUOTE_AFTER_BLANKS = re.compile(r'\s+"')


@contextmanager
def csv_rows(path: Path, gzipped: bool, line_breaks: bool) -> Iterator["CsvRows"]:
    """Open a CSV file to read it row by row, strictly and in bounded memory.

    ``line_breaks`` says whether a field may hold a line break; if not, a quote that is not closed
    on its line is an error. Opening and reading raise ``UntrustedFileError``, which names the line.
    """
    opened = gzip.open if gzipped else open
    try:
        with opened(path, "rt", encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            yield CsvRows(file, line_breaks, most_unpacked(path.stat().st_size))
    except (gzip.BadGzipFile, EOFError, zlib.error) as exc:
        raise UntrustedFileError(f"not a readable gzip file: {str(exc).rstrip('.')}") from exc


class CsvRows:
    """The rows below the header, each with as many fields as the first of them.

    ``columns`` names every field: by the header, or by its position (``_21``) where the header has
    no name for it: these are ``unnamed``. The header itself has ``named`` fields.
    """

    def __init__(self, file: TextIO, line_breaks: bool, most_characters: int):
        self.line = 0  # the line on which the last row read ends, from 1
        self._left = most_characters
        self._blank = 0  # lines
        self._file, self._line_breaks = file, line_breaks
        self._records = self._read()
        header = next(self._records, [])
        if self.line != 1:
            raise UntrustedFileError("it has no header on line 1")
        self._first = next(self._records, None)
        width = len(header) if self._first is None else len(self._first)
        while len(header) > width and not header[-1].strip():
            header.pop()
        if width < len(header):
            raise UntrustedFileError(
                f"line {self.line} has {_fields(width)} where the header has {len(header)}"
            )
        self.named = len(header)
        header += [""] * (width - len(header))
        self.columns = [name if name.strip() else f"_{i}" for i, name in enumerate(header, 1)]
        self.unnamed = [f"_{i}" for i, name in enumerate(header, 1) if not name.strip()]

    def __iter__(self) -> Iterator[list[str]]:
        """Every row; raises for the first row with more or fewer fields than the rows before."""
        if self._first is None:
            return
        yield self._first
        width = len(self.columns)
        for row in self._records:
            if len(row) != width:
                raise UntrustedFileError(
                    f"line {self.line} has {_fields(len(row))} where those before it have {width}"
                )
            yield row

    def _read(self) -> Iterator[list[str]]:
        reader = csv.reader(self._lines(), strict=True)
        while True:
            begun = reader.line_num + 1
            self._odd_quotes = False
            try:
                row = next(reader, None)
            except csv.Error as exc:
                unclosed = reader.line_num > begun or "end of data" in str(exc)
                raise _unreadable(begun, _UNCLOSED if unclosed else str(exc)) from exc
            if row is None:
                return
            self.line = reader.line_num
            if self.line > begun and not self._line_breaks:
                raise _unreadable(begun, _UNCLOSED)
            if self._odd_quotes and any(_QUOTE_AFTER_BLANKS.match(field) for field in row):
                raise _unreadable(begun, "there are blanks before a quote")
            if row:
                yield row

    def _lines(self) -> Iterator[str]:
        """The lines of the file; raises for a line that our readers would read differently."""
        number = 0
        while line := self._file.readline(LONGEST_LINE):
            number += 1
            self._left -= len(line)
            if self._left < 0:
                raise _unreadable(number, "so far, it unpacks to more than a file of its size may")
            if len(line) <= LINE_END and not line.strip():
                self._blank += 1
                if self._blank > MOST_BLANK_LINES + number // 2:
                    raise _unreadable(number, "most lines up to this one are blank")
            if len(line) == LONGEST_LINE:
                raise _unreadable(number, f"it is longer than {LONGEST_LINE:,} characters")
            if "\0" in line:
                raise _unreadable(number, "it holds a NUL byte")
            if not line.isascii():
                try:
                    line.encode()
                except UnicodeEncodeError as exc:
                    byte = ord(line[exc.start]) - 0xDC00
                    raise _unreadable(number, f"0x{byte:02X} in it is not UTF-8") from None
            if line[-1] == "\r":
                raise _unreadable(number, "it ends in a carriage return without a line feed")
            if '"' in line and _BLANKS_BEFORE_QUOTE.search(line):
                self._odd_quotes = True
            yield line


def _unreadable(line: int, reason: str) -> UntrustedFileError:
    return UntrustedFileError(f"not a readable CSV file: line {line}: {reason}")


def _fields(count: int) -> str:
    return f"{count} field{'' if count == 1 else 's'}"


def csv_batches(
    path: str | Path, gzipped: bool, columns: Sequence[str]
) -> Iterator["pa.RecordBatch"]:
    """The rows of a checked file as batches of text, in order and in bounded memory."""
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    with pa.input_stream(str(path), compression="gzip" if gzipped else None) as file:
        yield from arrow_csv.open_csv(
            file,
            read_options=arrow_csv.ReadOptions(
                column_names=list(columns), skip_rows=1, block_size=BLOCK_BYTES
            ),
            parse_options=arrow_csv.ParseOptions(newlines_in_values=True),
            convert_options=arrow_csv.ConvertOptions(
                column_types={name: pa.string() for name in columns}, strings_can_be_null=False
            ),
        )


def duckdb_csv_sql(source: str, gzipped: bool, columns: Sequence[str]) -> str:
    """The same rows as a table function of DuckDB; ``source`` is SQL of the file's address."""
    types = ", ".join(f"{_literal(name)}: 'varchar'" for name in columns)
    # Strict mode refuses mixed line ends, which real files have; all else that it refuses does not
    # pass the check. A text with a NUL does not pass either, so `nullstr` never matches.
    # https://duckdb.org/docs/stable/data/csv/reading_faulty_csv_files
    return (
        f"read_csv({source}, columns = {{{types}}}, auto_detect = false, header = false, skip = 1,"
        " delim = ',', quote = '\"', escape = '\"', strict_mode = false, nullstr = chr(0),"
        " hive_partitioning = false,"
        f" compression = '{'gzip' if gzipped else 'none'}')"
    )


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
