"""What differs between two publications: rows and columns of each table and month, exactly.

Only files with different sha256 are read. Rows are compared as a whole, each as often as it is
there. Where a key of the table is known, a row that is gone and one that is new under the same key
are one changed row.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

import duckdb

from ingestion.errors import MedallionError, first_line
from ingestion.lake.reading.attach import attach_lake
from ingestion.publications.manifest import Part, Publication, Table
from ingestion.publications.views import parts_sql
from ingestion.schema_on_read import DUCKDB
from ingestion.scratch import scratch_folder
from ingestion.settings import Settings

EXAMPLES = 3  # of each kind, for a table
NUMERIC = ("DECIMAL", "DOUBLE", "FLOAT", "BIGINT", "INTEGER", "SMALLINT", "TINYINT", "HUGEINT")
COUNT = "rows of the difference"  # no column of a mart has this name

Interval = tuple[str, date] | None  # service and month; None for a table that is one file
Row = dict[str, Any]


@dataclass(frozen=True)
class Side:
    """One publication, and the address of its files."""

    publication: Publication
    url: str


@dataclass(frozen=True)
class Rows:
    """The rows of one table and month that differ; without a month, of a whole small table.

    ``changed`` is None where no key tells which rows belong together.
    """

    service: str | None
    month: date | None
    before: int
    after: int
    added: int
    removed: int
    changed: int | None


@dataclass(frozen=True)
class Example:
    """One row that differs; a changed one has the values of its key and of what has changed."""

    kind: str  # added, removed or changed
    row: Row
    before: Row = field(default_factory=dict)
    after: Row = field(default_factory=dict)


@dataclass(frozen=True)
class Total:
    """The sum of a numeric column over the months that differ."""

    before: int | float | Decimal
    after: int | float | Decimal


@dataclass(frozen=True)
class TableDiff:
    """What differs in one table; ``columns`` says in how many changed rows each column differs.

    ``sums`` are those of the numeric columns whose sum differs.
    """

    table: str
    key: tuple[str, ...]
    is_new: bool = False
    is_gone: bool = False
    new_columns: tuple[str, ...] = ()
    gone_columns: tuple[str, ...] = ()
    months: tuple[Rows, ...] = ()
    columns: dict[str, int] = field(default_factory=dict)
    sums: dict[str, Total] = field(default_factory=dict)
    examples: tuple[Example, ...] = ()

    @property
    def added(self) -> int:
        """Rows that are new."""
        return sum(rows.added for rows in self.months)

    @property
    def removed(self) -> int:
        """Rows that are gone."""
        return sum(rows.removed for rows in self.months)

    @property
    def changed(self) -> int | None:
        """Rows with other values under the same key; None where no key is known."""
        counts = [rows.changed for rows in self.months]
        return None if None in counts else sum(count or 0 for count in counts)


@dataclass(frozen=True)
class Diff:
    """What differs between two publications; ``equal`` counts the tables that do not differ."""

    before: str
    after: str
    tables: tuple[TableDiff, ...]
    equal: int


def diff(settings: Settings, before: Side, after: Side, keys: Mapping[str, Sequence[str]]) -> Diff:
    """Compare the marts of two publications; ``keys`` has the key of each table that has one.

    Raises ``MedallionError`` where a file cannot be read.
    """
    tables = [
        {t.name: t for t in side.publication.tables if t.schema == "marts"}
        for side in (before, after)
    ]
    names = sorted(tables[0].keys() | tables[1].keys())
    with scratch_folder(settings.dlt_dir) as scratch, duckdb.connect() as connection:
        connection.execute(f"set memory_limit = '{settings.duckdb_memory_limit}'")
        connection.execute("set temp_directory = ?", [str(scratch)])
        try:
            for url in {before.url, after.url}:
                attach_lake(connection, url)
            found = [
                _Comparison(
                    connection, name, (before.url, after.url), tuple(keys.get(name, ()))
                ).of(tables[0].get(name), tables[1].get(name))
                for name in names
            ]
        except duckdb.Error as exc:
            raise MedallionError(
                f"The published files cannot be compared: {first_line(exc)}."
            ) from exc
    differing = tuple(table for table in found if table)
    return Diff(before.publication.id, after.publication.id, differing, len(names) - len(differing))


class _Comparison:
    """Compares one table, a differing file after the other, so that memory is bounded by one."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        name: str,
        urls: tuple[str, str],
        key: tuple[str, ...],
    ):
        self._connection = connection
        self._name = name
        self._urls = urls
        self._key = key
        self._columns: Counter[str] = Counter()
        self._sums: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
        self._examples: dict[str, list[Example]] = {"changed": [], "added": [], "removed": []}
        self._new: dict[str, None] = {}
        self._gone: dict[str, None] = {}

    def of(self, before: Table | None, after: Table | None) -> TableDiff | None:
        """What differs; None if nothing does."""
        name = f"marts.{self._name}"
        if before is None or after is None:
            there = after or before
            assert there, "one of the publications has it"
            rows, is_new = there.rows, after is not None
            counted = Rows(
                None, None, *((0, rows, rows, 0) if is_new else (rows, 0, 0, rows)), changed=0
            )
            return TableDiff(name, self._key, is_new, not is_new, months=(counted,))
        sides = _by_interval(before), _by_interval(after)
        months = []
        for interval in sorted(sides[0].keys() | sides[1].keys(), key=lambda i: i or ()):
            parts = sides[0].get(interval), sides[1].get(interval)
            if parts[0] and parts[1] and parts[0].sha256 == parts[1].sha256:
                continue
            if differing := self._part(interval, *parts):
                months.append(differing)
        if not months and not self._new and not self._gone:
            return None
        sums = {
            column: Total(value, self._sums[1][column])
            for column, value in self._sums[0].items()
            if not _about_same(value, self._sums[1][column])
        }
        return TableDiff(
            name,
            self._key,
            new_columns=tuple(self._new),
            gone_columns=tuple(self._gone),
            months=tuple(months),
            columns=dict(self._columns.most_common()),
            sums=sums,
            examples=tuple(e for kind in self._examples.values() for e in kind),
        )

    def _part(self, interval: Interval, before: Part | None, after: Part | None) -> Rows | None:
        """Compare the files of one month; None if their rows are the same."""
        types = []
        for view, part, url in zip(("before", "after"), (before, after), self._urls, strict=True):
            there = part or after or before
            assert there, "one of the publications has it"
            where = "" if part else " where false"
            url = url if part else self._urls[0 if before else 1]
            self._run(
                f"create or replace temp view {view}_rows as"
                f" select * from {parts_sql(url, [there])}{where}"
            )
            described = self._run(f"describe {view}_rows").fetchall()
            types.append({column: kind for column, kind, *_ in described})
        self._new |= dict.fromkeys(c for c in types[1] if c not in types[0])
        self._gone |= dict.fromkeys(c for c in types[0] if c not in types[1])
        common = [column for column in types[1] if column in types[0]]
        added, removed, changed = self._delta(common)
        if not added and not removed and not changed:
            return None
        self._add_sums([c for c in common if all(_is_numeric(t[c]) for t in types)])
        service, month = interval or (None, None)
        counts = (before.rows if before else 0, after.rows if after else 0)
        return Rows(service, month, *counts, added, removed, changed)

    def _delta(self, common: list[str]) -> tuple[int, int, int | None]:
        """Find the rows that are there more often on one side; count added, removed, changed."""
        columns = ", ".join(map(DUCKDB.quote, common))
        count = DUCKDB.quote(COUNT)
        # one pass over both sides gives what `except all` in both directions gives
        self._run(
            f"create or replace temp table delta as select {columns}, sum(side)::bigint as {count}"
            f" from (select {columns}, 1 as side from after_rows"
            f" union all select {columns}, -1 as side from before_rows)"
            f" group by {columns} having sum(side) <> 0"
        )
        (added, removed), *_ = self._run(
            f"select coalesce(sum({count}) filter ({count} > 0), 0)::bigint,"
            f" coalesce(-sum({count}) filter ({count} < 0), 0)::bigint from delta"
        ).fetchall()
        if not added and not removed:
            return 0, 0, 0
        pairs = self._pairs(common)
        changed = None
        if pairs:
            (changed,), *_ = self._run(f"select count(*) from {pairs}").fetchall()
            self._count_columns(common, pairs, changed)
            added, removed = added - changed, removed - changed
        self._add_examples(common, pairs, bool(added), bool(removed))
        return added, removed, changed

    def _pairs(self, common: list[str]) -> str | None:
        """The join of rows that are gone and new under one key; None where no key tells them."""
        if not self._key or not set(self._key) <= set(common):
            return None
        key, count = ", ".join(map(DUCKDB.quote, self._key)), DUCKDB.quote(COUNT)
        twice = self._run(
            f"select 1 from delta group by {key}, {count} > 0"
            f" having count(*) > 1 or max(abs({count})) > 1 limit 1"
        ).fetchall()
        if twice:
            return None
        same = " and ".join(
            f"b.{DUCKDB.quote(c)} is not distinct from a.{DUCKDB.quote(c)}" for c in self._key
        )
        return (
            f"(from delta where {count} < 0) as b"
            f" inner join (from delta where {count} > 0) as a on {same}"
        )

    def _count_columns(self, common: list[str], pairs: str, changed: int) -> None:
        others = [column for column in common if column not in self._key]
        if not changed or not others:
            return
        counted = ", ".join(f"count(*) filter ({_differs(c)})" for c in others)
        (counts,) = self._run(f"select {counted} from {pairs}").fetchall()
        self._columns.update({c: n for c, n in zip(others, counts, strict=True) if n})

    def _add_sums(self, numeric: list[str]) -> None:
        """Add the sums of both sides; those of identifiers say nothing and are left out."""
        wanted = [c for c in numeric if c not in self._key and not c.endswith(("_id", "_key"))]
        if not wanted:
            return
        sums = ", ".join(f"coalesce(sum({DUCKDB.quote(c)}), 0)" for c in wanted)
        for view, total in zip(("before_rows", "after_rows"), self._sums, strict=True):
            (found,) = self._run(f"select {sums} from {view}").fetchall()
            for column, value in zip(wanted, found, strict=True):
                total[column] = total.get(column, 0) + value

    def _add_examples(self, common: list[str], pairs: str | None, added: bool, gone: bool) -> None:
        count = DUCKDB.quote(COUNT)
        order = ", ".join(map(DUCKDB.quote, self._key if pairs else common))
        shown = self._examples["changed"]
        if pairs and len(shown) < EXAMPLES:
            sides = ", ".join(f"{side}.{DUCKDB.quote(c)}" for side in ("b", "a") for c in common)
            ordered = ", ".join(f"b.{DUCKDB.quote(c)}" for c in self._key)
            limit = EXAMPLES - len(shown)
            for row in self._run(
                f"select {sides} from {pairs} order by {ordered} limit {limit}"
            ).fetchall():
                was, now = (
                    dict(zip(common, half, strict=True))
                    for half in (row[: len(common)], row[len(common) :])
                )
                differing = [c for c in common if not _same(was[c], now[c])]
                shown.append(
                    Example(
                        "changed",
                        {c: now[c] for c in self._key},
                        {c: was[c] for c in differing},
                        {c: now[c] for c in differing},
                    )
                )
        columns = ", ".join(map(DUCKDB.quote, common))
        for kind, sign, there in (("added", ">", added), ("removed", "<", gone)):
            room = EXAMPLES - len(self._examples[kind])
            if not there or room <= 0:
                continue
            unpaired = ""
            if pairs:
                key = ", ".join(map(DUCKDB.quote, self._key))
                unpaired = f" qualify count(*) over (partition by {key}) = 1"
            # the window sees both sides, so the sign is looked at afterwards
            rows = self._run(
                f"select {columns} from (from delta{unpaired}) where {count} {sign} 0"
                f" order by {order} limit {room}"
            ).fetchall()
            self._examples[kind] += [
                Example(kind, dict(zip(common, row, strict=True))) for row in rows
            ]

    def _run(self, sql: str) -> duckdb.DuckDBPyConnection:
        return self._connection.execute(sql)


def _by_interval(table: Table) -> dict[Interval, Part]:
    return {
        (part.service or "", part.source_month) if part.source_month else None: part
        for part in table.parts
    }


def _differs(column: str) -> str:
    quoted = DUCKDB.quote(column)
    return f"b.{quoted} is distinct from a.{quoted}"


def _is_numeric(kind: str) -> bool:
    return kind.startswith(NUMERIC) and not kind.endswith("[]")


def _same(left: Any, right: Any) -> bool:
    """Whether two values are equal as DuckDB compares them: NaN is equal to itself."""
    return bool(left == right or (left != left and right != right))


def _about_same(left: Any, right: Any) -> bool:
    """Whether two sums are equal; for doubles, within what the order of adding changes."""
    if isinstance(left, float) and isinstance(right, float):
        return math.isclose(left, right, rel_tol=1e-12) or _same(left, right)
    return _same(left, right)
