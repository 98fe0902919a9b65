"""What a published file may come to, at most: a small file may unpack to more than a machine holds.

The largest months that are known have 25 million rows of 24 columns in 0.5 GB; their CSV shrinks to
a fifth in gzip. Each limit is several times that, and a file within all of them takes bounded
memory to land and to load.
"""

MOST_COLUMNS = 1_000  # PostgreSQL holds 1,600 at most, and fewer where they are wide
MOST_ROWS = 1_000_000_000
MOST_ROWS_IN_NOTHING = 10_000_000  # beyond, each row takes a byte of the file at least
MOST_FOOTER_BYTES = 16 << 20
LONGEST_TEXT = 1 << 17  # bytes of a text in Parquet, characters of a line in CSV
MOST_BLANK_LINES = 100_000  # beyond one for each row
_UNPACKED_ANYWAY = 1 << 30
_UNPACKED_RATIO = 100


def most_unpacked(file_bytes: int) -> int:
    """To how many bytes a file of this size may unpack."""
    return max(_UNPACKED_ANYWAY, _UNPACKED_RATIO * file_bytes)
