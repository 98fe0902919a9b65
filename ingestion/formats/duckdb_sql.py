"""How DuckDB is told which file to read, as SQL text."""

import re

# A folder env=prod on the way to a file is no column of it.
NO_HIVE = "hive_partitioning = false"


def text_sql(value: str) -> str:
    """A text as SQL, whatever is in it."""
    return "'" + value.replace("'", "''") + "'"


def path_pattern(path: str) -> str:
    """The pattern that one file of a folder matches and no other: DuckDB takes paths for those."""
    return re.sub(r"([*?[])", r"[\1]", path)
