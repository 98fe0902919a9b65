"""Which rows differ between two versions of one file, counted in DuckDB.

A version is a multiset of rows: order in a file has no meaning, and publishers give rows no key.
Rows that both versions have equally often are equal. Of the others, an old row and a new row about
the same trip are one changed row. The rest were added or removed.

Two rows count as equal if the 64-bit hashes of all their values are equal. If 20 million rows all
changed, the odds that one is taken for another are one in fifty thousand. Hashes keep a month small
enough for memory.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import duckdb

from ingestion.schema_on_read import DUCKDB


@dataclass(frozen=True)
class RowChanges:
    """How many rows differ; ``by_column`` counts the changed rows in which a column differs."""

    equal: int = 0
    added: int = 0
    removed: int = 0
    changed: int = 0
    by_column: dict[str, int] = field(default_factory=dict)


def row_changes(
    connection: duckdb.DuckDBPyConnection,
    before: str,
    after: str,
    columns: Sequence[str],
    keys: Sequence[Sequence[str]],
) -> RowChanges:
    """Compare two selects that both give ``columns``, with the same type for each column.

    Rows that differ are paired by the first of the ``keys`` on which they agree; ``keys`` stand
    strictest first. Nulls are equal. Raises ``duckdb.Error`` if a select cannot be read.
    """
    # columns are renamed c0, c1 ..., so the publisher's names cannot collide with ours
    names = {column: f"c{i}" for i, column in enumerate(columns)}
    picked = ", ".join(f"{DUCKDB.quote(column)} as {name}" for column, name in names.items())
    sides = {
        "before": f"select {picked} from ({before})",
        "after": f"select {picked} from ({after})",
    }
    hashed = _hash(names.values())
    connection.execute(_tally(sides, hashed))
    equal, differing = _one(
        connection,
        "select coalesce(sum(least(befores, afters)), 0)::bigint,"
        " count(*) filter (befores <> afters) from tally",
    )
    if not differing:
        return RowChanges(equal=equal)
    hashes = {f"key_{i}": _hash(names[c] for c in key) for i, key in enumerate(keys) if key}
    for side, select in sides.items():
        connection.execute(_unpaired(side, select, {**hashes, "row_hash": hashed}))
    connection.execute("create or replace temp table pairs (before_row bigint, after_row bigint)")
    for key_hash in hashes:
        connection.execute(_pair(key_hash))
    different = (f"count(*) filter (b.{n} is distinct from a.{n})" for n in names.values())
    changed, *by_column = _one(
        connection,
        f"select count(*), {', '.join(different)} from pairs"
        " join before_unpaired as b on b.rowid = before_row"
        " join after_unpaired as a on a.rowid = after_row",
    )
    removed, added = _one(
        connection,
        "select (select count(*) from before_unpaired), (select count(*) from after_unpaired)",
    )
    return RowChanges(
        equal=equal,
        added=added - changed,
        removed=removed - changed,
        changed=changed,
        by_column={c: n for c, n in zip(columns, by_column, strict=True) if n},
    )


def _tally(sides: Mapping[str, str], hashed: str) -> str:
    """How often each row occurs in each version."""
    return f"""
        create or replace temp table tally as
        select
            row_hash,
            count(*) filter (is_before) as befores,
            count(*) filter (not is_before) as afters,
        from (
            select {hashed} as row_hash, true as is_before from ({sides["before"]})
            union all
            select {hashed}, false from ({sides["after"]})
        )
        group by row_hash
    """


def _unpaired(side: str, select: str, hashes: Mapping[str, str]) -> str:
    """The surplus rows: those that one version has more often than the other, that many times."""
    mine, other = ("befores", "afters") if side == "before" else ("afters", "befores")
    hashed = ", ".join(f"{sql} as {name}" for name, sql in hashes.items())
    return f"""
        create or replace temp table {side}_unpaired as
        select rows_of_it.*, {mine} - {other} as copies, {other} > 0 as is_too_often
        from (select *, {hashed} from ({select})) as rows_of_it
        join tally on tally.row_hash = rows_of_it.row_hash and {mine} > {other};

        delete from {side}_unpaired
        where rowid in (
            select rowid
            from {side}_unpaired
            where is_too_often
            qualify row_number() over (partition by row_hash) > copies
        )
    """


def _pair(key_hash: str) -> str:
    """Pair rows that agree on the key. Where several do, pair first with first, and so on."""
    before, after = (
        f"""
        select
            rowid as {side}_row,
            {key_hash},
            row_number() over (partition by {key_hash} order by row_hash) as nth
        from {side}_unpaired
        where rowid not in (select {side}_row from pairs)
        """
        for side in ("before", "after")
    )
    return f"""
        insert into pairs
        select before_row, after_row
        from ({before}) join ({after}) using ({key_hash}, nth)
    """


def _hash(names: Iterable[str]) -> str:
    return f"hash({', '.join(names)})"


def _one(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[int, ...]:
    found = connection.execute(sql).fetchone()
    assert found is not None, "an aggregate gives one row"
    return found
