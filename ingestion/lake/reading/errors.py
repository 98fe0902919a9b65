"""Why a version could not be read: errors in the file, and errors that may pass."""

from dataclasses import dataclass

import duckdb

# DuckDB raises none of these for a damaged or unreadable file. An interrupt is not among them: for
# such a file, DuckDB now and then reports one when another of its threads met the error.
PASSING = (
    duckdb.IOException,  # a full disk, a network
    duckdb.OutOfMemoryException,
    duckdb.TransactionException,
    duckdb.FatalException,
    duckdb.PermissionException,
)
# texts of such errors that mean the file itself: it is missing, or ends before its pages do
IN_FILE = ("No files found", "HTTP 404", "(404", "Could not read enough bytes")


@dataclass(frozen=True)
class Failure:
    """Why a version was not loaded, and whether its file is the cause or an error that may pass."""

    reason: str
    is_unreadable: bool


def may_pass(exc: BaseException | None) -> bool:
    """Whether reading the same file again may succeed."""
    if not isinstance(exc, duckdb.Error):
        return True
    return isinstance(exc, PASSING) and not any(sign in str(exc) for sign in IN_FILE)
