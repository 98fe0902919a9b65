"""Whether a user's statement only reads the warehouse. Spark has no read-only session."""

import logging

from ingestion.errors import WarehouseError
from ingestion.warehouse.base import ONE_THAT_READS

# they call any function of Java on the server
_REACHES_OUT = {"reflect", "try_reflect", "java_method"}
_LOOKS = ("show", "describe", "desc", "explain")


def check_that_it_reads(sql: str) -> None:
    """Raise ``WarehouseError`` unless it is one statement that reads tables and views."""
    import sqlglot
    from sqlglot import exp
    from sqlglot.errors import SqlglotError

    # it would warn of statements that it does not know, on stderr
    logging.getLogger("sqlglot").setLevel(logging.ERROR)
    try:
        statements = [s for s in sqlglot.parse(sql, read="spark") if s]
    except SqlglotError as exc:
        raise WarehouseError(f"it cannot be read: {' '.join(str(exc).split())}") from exc
    if not statements:
        raise WarehouseError("there is no statement in it")
    (statement, *others) = statements
    if others:
        raise WarehouseError(ONE_THAT_READS)
    if isinstance(statement, exp.Command | exp.Show | exp.Describe):
        # what they would explain is checked as well
        word, _, rest = sql.strip().partition(" ")
        if word.lower() not in _LOOKS:
            raise WarehouseError(ONE_THAT_READS)
        if word.lower() == "explain":
            kind, _, after = rest.strip().partition(" ")
            is_kind = kind.lower() in ("extended", "codegen", "cost", "formatted")
            check_that_it_reads(after if is_kind else rest)
        return
    writes = statement.find(exp.DML, exp.DDL, exp.QueryTransform)
    if not isinstance(statement, exp.Query) or writes:
        raise WarehouseError(ONE_THAT_READS)
    for function in statement.find_all(exp.Anonymous):
        if function.name.lower() in _REACHES_OUT:
            raise WarehouseError(f"{function.name}() reaches beyond the warehouse; leave it out")
