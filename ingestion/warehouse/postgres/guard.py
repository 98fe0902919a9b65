"""Lets a user's query do nothing but read the warehouse.

In a read-only transaction, a superuser's select can still call functions that read and write the
server's files and end other sessions. So a superuser's query runs with the rights of
``pg_read_all_data`` only. It cannot switch back: the server refuses to change the role within a
function that runs with its owner's rights.
"""

import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import psycopg2.errors
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from ingestion.errors import WarehouseError
from ingestion.warehouse.base import ONE_THAT_READS, Most, Rows

# Members of these roles reach files and programs of the server without being superusers.
FILE_ROLES = ("pg_read_server_files", "pg_write_server_files", "pg_execute_server_program")
POWERS = """
    select
        rolsuper,
        array(
            select r.rolname::text from pg_roles as r
            where r.rolname = any(%s) and pg_has_role(session_user, r.oid, 'member')
        )
    from pg_roles where rolname = session_user
"""
STATEMENT = "select set_config('medallion.statement', %s, true)"
# A cursor accepts one statement that gives rows, and none that begins or ends a transaction.
OPEN_ANSWER = """
    do $$
    declare answer refcursor := 'answer';
    begin open answer for execute current_setting('medallion.statement'); end $$
"""
READER = "pg_read_all_data"
MAKE_READER = f"""
    create function pg_temp.medallion_answer() returns setof record
    language plpgsql security definer as $$
    begin return query execute current_setting('medallion.statement'); end $$;
    alter function pg_temp.medallion_answer() owner to {READER};
    set transaction read only;
    set local role {READER}
"""
TYPES = """
    select format_type(type, null)
    from unnest(%s::oid[]) with ordinality as c (type, place) order by place
"""
SHOWS_TEXT = re.compile(r"\s*(explain|show)\s", re.IGNORECASE)


def read(cursor: Cursor, sql: str, most: Most | None = None) -> tuple[list[str], Rows, bool]:
    """Run one statement that gives rows; return the names of its columns, its rows, if it is cut.

    All that it set, locked or created is undone afterwards. Only ``most`` cuts it.
    """
    cursor.execute(POWERS, [list(FILE_ROLES)])
    superuser, powers = cursor.fetchone() or (False, [])
    if powers and not superuser:
        raise WarehouseError(
            f"this account is a member of {', '.join(powers)}, so that a query could reach the"
            " server's files; log in as another, such as the reader of `medallion setup-postgres`"
        )
    cursor.execute("begin read write" if superuser else "begin read only")
    try:
        return _read_as_reader(cursor, sql, most) if superuser else _read(cursor, sql, most)
    except psycopg2.errors.FeatureNotSupported as exc:
        if "data-modifying" not in str(exc):
            raise
        raise WarehouseError(ONE_THAT_READS) from exc
    finally:
        with suppress(psycopg2.Error):  # a lost connection has nothing to roll back
            cursor.execute("rollback")


def _read(cursor: Cursor, sql: str, most: Most | None = None) -> tuple[list[str], Rows, bool]:
    _open(cursor, sql)

    def fetch(rows: object) -> Rows:
        cursor.execute(f"fetch {rows} from answer")
        fetched: Rows = cursor.fetchall()
        return fetched

    rows, is_cut = most.fetch(fetch) if most else (fetch("all"), False)
    return _names(cursor), rows, is_cut


def _open(cursor: Cursor, sql: str) -> None:
    """Open a cursor on the statement. Nothing runs yet; raises if the statement gives no rows."""
    cursor.execute(STATEMENT, [sql])
    cursor.execute(OPEN_ANSWER)


def _read_as_reader(cursor: Cursor, sql: str, most: Most | None) -> tuple[list[str], Rows, bool]:
    cursor.execute(MAKE_READER)
    _open(cursor, sql)
    cursor.execute("close answer")
    names, types, asked = ["QUERY PLAN"], ["text"], sql
    if not SHOWS_TEXT.match(sql):
        answer = f"(\n{sql.rstrip().removesuffix(';')}\n) as answer"
        # gives the answer's columns; with `limit 0` the statement itself does not run
        _read(cursor, f"select * from {answer} limit 0")
        names = _names(cursor)
        cursor.execute(TYPES, [[column.type_code for column in cursor.description or ()]])
        types = [name for (name,) in cursor.fetchall()]
        # a column of a domain, as information_schema has them, is told of by its base type
        cast = ", ".join(f"c{place}::{name}" for place, name in enumerate(types))
        asked = f"select {cast} from {answer} ({', '.join(f'c{n}' for n in range(len(types)))})"
        if most:  # the function keeps all of its rows before it gives the first
            asked += f" limit {most.rows + 1}"
    cursor.execute(STATEMENT, [asked])
    columns = ", ".join(f"c{place} {name}" for place, name in enumerate(types))
    cursor.execute(f"select * from pg_temp.medallion_answer() as answer ({columns})")
    rows, is_cut = most.fetch(cursor.fetchmany) if most else (cursor.fetchall(), False)
    return names, rows, is_cut


def _names(cursor: Cursor) -> list[str]:
    columns: Sequence[Any] = cursor.description or ()
    return [column.name for column in columns]
