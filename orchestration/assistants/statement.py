"""Which months a statement can rest on, as far as it says so itself.

The answer is proved by the ledger of these months, so they may be too many, and never too few: a
month counts as left out only where the condition of each `select` that reads a mart leaves it out.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from orchestration.assistants.proof import Scope

if TYPE_CHECKING:
    from sqlglot.expressions import Column, Expr, Table

DATASET_COLUMNS = ("service", "dataset")
MONTH_COLUMNS = ("source_month", "month")
# of marts of valid trips: each of those is in the file of the month of its pickup
PICKUP_COLUMNS = ("pickup_date", "pickup_hour")
FACTS = "fct_trips"
WITHOUT_MONTHS = "dim_"
_BOUND_TO = {"gt": "lt", "gte": "lte", "lt": "gt", "lte": "gte", "eq": "eq"}


def scope_of(sql: str, dialect: str) -> Scope:
    """The datasets and months of the marts that a statement reads; all, where it does not say."""
    import sqlglot
    from sqlglot import exp
    from sqlglot.errors import SqlglotError

    try:
        statement = sqlglot.parse_one(sql, read=dialect)
    except (SqlglotError, RecursionError):
        return Scope()
    if not isinstance(statement, exp.Query):
        return Scope()
    named = {cte.alias_or_name for cte in statement.find_all(exp.CTE)}
    read = [t for t in statement.find_all(exp.Table) if t.db or t.name not in named]
    marts = [t for t in read if not (_is_mart(t) and t.name.lower().startswith(WITHOUT_MONTHS))]
    scopes = [_limits(table) for table in marts]
    return _hull(scopes) if scopes else Scope()


def _hull(scopes: Iterable[Scope]) -> Scope:
    """The smallest scope that holds all of these."""
    found, *others = scopes
    for other in others:
        found = Scope(
            found.datasets | other.datasets if found.datasets and other.datasets else None,
            min(found.start, other.start) if found.start and other.start else None,
            max(found.end, other.end) if found.end and other.end else None,
        )
    return found


def _limits(table: "Table") -> Scope:
    """What the conditions of its `select` leave of a table."""
    from sqlglot import exp

    select = table.find_ancestor(exp.Select)
    alias = table.args.get("alias")
    if not _is_mart(table) or (alias and alias.args.get("columns")):
        return Scope()
    if not isinstance(select, exp.Select):
        return Scope()
    sources = [select.args.get("from_") or select.args.get("from"), *select.args.get("joins", ())]
    direct = [source.this for source in sources if source is not None]
    if not any(source is table for source in direct):
        return Scope()
    is_alone = len(direct) == 1 and not (select.args.get("laterals") or _may_be_correlated(select))
    where = select.args.get("where")
    found = Scope()
    for condition in _conjuncts(where.this) if where else ():
        for column, kind, values in _comparison(condition):
            unqualified = not column.table and is_alone and not _is_renamed(select, column.name)
            if column.table == table.alias_or_name or unqualified:
                found = _narrowed(found, table.name.lower(), column.name.lower(), kind, values)
    return found


def _is_mart(table: "Table") -> bool:
    return table.db.lower() == "marts"


def _may_be_correlated(select: "Expr") -> bool:
    """Whether a column without a table may be one of the `select` around it."""
    from sqlglot import exp

    at = select
    while (parent := at.parent) is not None:
        if isinstance(parent, exp.With | exp.From | exp.Join):
            return False
        if isinstance(parent, exp.Lateral | exp.Select):
            return True
        at = parent
    return False


def _is_renamed(select: "Expr", name: str) -> bool:
    """Whether the `select` gives something else that name; DuckDB's conditions may mean that."""
    return any(e.alias.lower() == name.lower() for e in select.args["expressions"] if e.alias)


def _conjuncts(condition: "Expr") -> Iterator["Expr"]:
    from sqlglot import exp

    condition = condition.unnest()
    if isinstance(condition, exp.And):
        yield from _conjuncts(condition.left)
        yield from _conjuncts(condition.right)
    else:
        yield condition


def _comparison(condition: "Expr") -> Iterator[tuple["Column", str, list[str]]]:
    """The column, the kind and the values of a comparison with literals."""
    from sqlglot import exp

    match condition:
        case exp.EQ() | exp.GT() | exp.GTE() | exp.LT() | exp.LTE():
            kind = condition.key
            for column, value, seen in (
                (condition.left, condition.right, kind),
                (condition.right, condition.left, _BOUND_TO[kind]),
            ):
                text = _literal(value)
                if isinstance(column, exp.Column) and text is not None:
                    yield column, seen, [text]
        case exp.Between():
            low, high = _literal(condition.args["low"]), _literal(condition.args["high"])
            plain = not condition.args.get("symmetric")
            if isinstance(condition.this, exp.Column) and low and high and plain:
                yield condition.this, "gte", [low]
                yield condition.this, "lte", [high]
        case exp.In():
            texts = [_literal(value) for value in condition.expressions]
            listed = [text for text in texts if text is not None]
            if isinstance(condition.this, exp.Column) and listed and len(listed) == len(texts):
                yield condition.this, "eq", listed


def _literal(value: "Expr") -> str | None:
    """The text of a literal, also of a date that is written as one."""
    from sqlglot import exp

    value = value.unnest()
    if isinstance(value, exp.Cast) and value.to.is_type(*exp.DataType.TEMPORAL_TYPES):
        value = value.this
    return str(value.this) if isinstance(value, exp.Literal) and value.is_string else None


def _narrowed(scope: Scope, table: str, column: str, kind: str, values: list[str]) -> Scope:
    if column in DATASET_COLUMNS and kind == "eq":
        both = frozenset(values)
        return replace(scope, datasets=scope.datasets & both if scope.datasets else both)
    months = MONTH_COLUMNS + (PICKUP_COLUMNS if table != FACTS else ())
    times = [_time(value) for value in values]
    if column not in months or None in times:
        return scope
    first, last = min(t for t in times if t), max(t for t in times if t)
    if kind in ("eq", "gt", "gte"):
        month = first.date().replace(day=1)
        scope = replace(scope, start=max(scope.start, month) if scope.start else month)
    if kind in ("eq", "lt", "lte"):
        day = (last - timedelta(microseconds=kind == "lt")).date()
        scope = replace(scope, end=min(scope.end, day) if scope.end else day)
    return scope


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
