"""The size limits of a published file: a small file may unpack to more than a machine can hold.

The largest known months have 25 million rows of 24 columns in 0.5 GB; gzip shrinks their CSV to a
fifth. Each limit is several times that. A file within all limits takes bounded memory to land and
to load.
"""

MOST_COLUMNS = 1_000  # PostgreSQL allows 1,600 at most, and fewer if they are wide
MOST_ROWS = 1_000_000_000
MOST_ROWS_IN_NOTHING = 10_000_000  # beyond, a file needs at least one byte for each row
MOST_FOOTER_BYTES = 16 << 20
LONGEST_TEXT = 1 << 17  # bytes of a text in Parquet, characters of a line in CSV
LONGEST_DERIVED_TEXT = 1 << 22  # the same of a file that is made here: the shape of an island
MOST_BLANK_LINES = 100_000  # beyond one for each row
_UNPACKED_ANYWAY = 1 << 30
_UNPACKED_RATIO = 100


def most_unpacked(file_bytes: int) -> int:
    """The most bytes that a file of this size may unpack to."""
    return max(_UNPACKED_ANYWAY, _UNPACKED_RATIO * file_bytes)
