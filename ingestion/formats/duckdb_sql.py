"""How DuckDB is told which file to read, as SQL text."""

import re

# A folder env=prod in a file's path is not a column.
NO_HIVE = "hive_partitioning = false"


def text_sql(value: str) -> str:
    """A text as a SQL literal, whatever characters it has."""
    return "'" + value.replace("'", "''") + "'"


def path_pattern(path: str) -> str:
    """The pattern that matches only this file; DuckDB reads paths as patterns."""
    return re.sub(r"([*?[])", r"[\1]", path)
