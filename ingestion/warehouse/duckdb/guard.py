"""Lets a user's query do nothing but read the warehouse.

DuckDB opens the file read-only. But a statement could still reach the machine's files, the network,
extensions and the session's settings. This module blocks each of them.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

import duckdb

from ingestion.errors import WarehouseError
from ingestion.formats.duckdb_sql import path_pattern, text_sql
from ingestion.warehouse.base import ONE_THAT_READS

SELECT = duckdb.StatementType.SELECT  # also the type of `from`, `describe`, `summarize` and `show`
CREATE = duckdb.StatementType.CREATE
WORD = re.compile(r'"((?:[^"]|"")*)"|(\w+)')
# Table functions that read only their arguments and the warehouse. Others may read files or memory,
# run text as a statement, or change the session: one of them turns logging on.
HARMLESS = {
    "generate_series",
    "histogram",
    "histogram_values",
    "icu_calendar_names",
    "json_each",
    "json_tree",
    "pg_timezone_names",
    "pragma_database_size",
    "pragma_show",
    "pragma_storage_info",
    "pragma_table_info",
    "pragma_version",
    "range",
    "repeat",
    "repeat_row",
    "summary",
    "test_all_types",
    "unnest",
}
CATALOG = "duckdb_"  # duckdb_tables() and the like; secrets are shown without their secret part
LOCKED = (
    "set allow_unredacted_secrets = false",
    "set enable_external_access = false",
    "set python_enable_replacements = false",
    # another thread can ask how far a statement is; DuckDB itself prints nothing
    "set enable_progress_bar = true",
    "set enable_progress_bar_print = false",
    "set lock_configuration = true",
)


def folders_of(address: str) -> Sequence[str]:
    """What ``lock`` must name for files below an address: itself, and the pattern of it."""
    folder = address.rstrip("/") + "/"
    return folder, path_pattern(folder)


def lock(connection: duckdb.DuckDBPyConnection, readable: Sequence[str]) -> None:
    """Limit the connection to the files under the ``readable`` folders, without a network.

    It stays locked as long as the database is open. Locking it again changes nothing.
    """
    locked = connection.execute("select current_setting('lock_configuration')").fetchone()
    if locked == (True,):
        return
    if readable:
        folders = ", ".join(text_sql(folder) for folder in readable)
        connection.execute(f"set allowed_directories = [{folders}]")
    for statement in LOCKED:
        connection.execute(statement)


def check_that_it_reads(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Raise ``WarehouseError`` unless this is one statement that only reads tables and views."""
    tokens = list(_tokens(sql))
    for statement in _statements(connection, sql):
        if statement.type == duckdb.StatementType.EXPLAIN:
            _check_what_is_explained(connection, tokens)
        elif statement.type != SELECT:
            raise WarehouseError(ONE_THAT_READS)
    functions = connection.execute(
        "select function_name from duckdb_functions()"
        " where function_type in ('table', 'table_macro')"
    ).fetchall()
    called = {name for (name, _), (sign, _) in pairwise(tokens) if sign == "("}
    for (name,) in functions:
        if name in called and name not in HARMLESS and not name.startswith(CATALOG):
            raise WarehouseError(f"{ONE_THAT_READS} tables and views, without {name}()")


def _statements(connection: duckdb.DuckDBPyConnection, sql: str) -> list[duckdb.Statement]:
    # A pivot becomes several statements without a text: each makes a type of a column's values, but
    # the last, which reads. One that writes stands between a begin and a commit.
    found = connection.extract_statements(sql)
    while len(found) > 1 and found[0].type == CREATE and not found[0].query:
        found = found[1:]
    if len(found) > 1:
        raise WarehouseError(ONE_THAT_READS)
    return found


def _check_what_is_explained(
    connection: duckdb.DuckDBPyConnection, tokens: Sequence[tuple[str, str]]
) -> None:
    """``explain analyze`` runs what it explains, a ``copy`` to a file too."""
    _, (word, text), *others = [*tokens, ("", "")]
    explained = others[0][1] if word == "analyze" and others else text
    try:
        types = [s.type for s in _statements(connection, explained)]
    except duckdb.Error:  # it has options in brackets
        types = []
    if types != [SELECT]:
        raise WarehouseError(f"{ONE_THAT_READS}; explain [analyze] takes a select")


def _tokens(sql: str) -> Iterator[tuple[str, str]]:
    """Each token, in the form in which DuckDB compares names, with the rest of the statement."""
    text = sql.encode()
    for place, _ in duckdb.tokenize(sql):
        rest = text[place:].decode()
        found = WORD.match(rest)
        yield (found[1] or found[2]).lower() if found else rest[:1], rest
