"""Why a version could not be read: faults of the file, and faults that may pass."""

from dataclasses import dataclass

import duckdb

# What DuckDB says of a file that is damaged, or that it cannot read, is none of these. That it was
# interrupted is: it says so now and then where one of several threads met the fault.
PASSING = (
    duckdb.IOException,  # a full disk, a network
    duckdb.OutOfMemoryException,
    duckdb.TransactionException,
    duckdb.FatalException,
    duckdb.PermissionException,
)
# of these, what tells of a file that is not there, or ends before its pages do
IN_FILE = ("No files found", "HTTP 404", "(404", "Could not read enough bytes")


@dataclass(frozen=True)
class Failure:
    """Why a version was not loaded, and whether its file is at fault or something that may pass."""

    reason: str
    is_unreadable: bool


def may_pass(exc: BaseException | None) -> bool:
    """Whether to read the same file again may end better."""
    if not isinstance(exc, duckdb.Error):
        return True
    return isinstance(exc, PASSING) and not any(sign in str(exc) for sign in IN_FILE)
