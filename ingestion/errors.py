"""Errors that a user can act on.

Each message says what happened, to which file or table, and what to do next. Entry points print
it as one line and turn its type into an exit code.
"""

from ingestion.words import on_one_line

SHOWN_CHARACTERS = 40  # the longest part of a file's value in a message


class MedallionError(Exception):
    """The run failed for a foreseeable reason (exit code 1)."""

    exit_code = 1
    may_pass = False  # whether a later try, with nothing changed, may succeed

    def __str__(self) -> str:
        """The message on one line, also in a log of others: it may hold text of a file."""
        return on_one_line(super().__str__())


class UsageError(MedallionError):
    """The command, a setting or a parameter is wrong (exit code 2)."""

    exit_code = 2


class MissingExtraError(UsageError):
    """The command needs an extra of the project that is not installed; the message names it."""


class UntrustedFileError(MedallionError):
    """A downloaded file is not what its name says; it goes to quarantine with this reason."""


class FetchError(MedallionError):
    """A file could not be downloaded."""

    may_pass = True


class WarehouseBusyError(MedallionError):
    """Another process holds the warehouse."""

    may_pass = True


class UnreachableError(MedallionError):
    """A server does not answer, or broke the connection."""

    may_pass = True


class WarehouseError(MedallionError):
    """The warehouse refused a statement; the message is the engine's reason in one line."""


class UnreadableError(WarehouseError):
    """The warehouse cannot read a file of the lake, and trying again would not help."""


class LockedError(WarehouseError):
    """Another session holds what is to be replaced; the message names it."""

    may_pass = True


class NotLoadedError(MedallionError):
    """A version could not be loaded, for a reason outside its file."""

    may_pass = True


class CorruptedError(MedallionError):
    """The lake does not hold what was written to it."""

    may_pass = True


class ReplacedError(MedallionError):
    """Somebody else has written what was to be replaced, since it was read."""

    may_pass = True


def errors_of(exc: MedallionError) -> list[str]:
    """The errors of single files until a stage failed, which are notes, and then its own."""
    return [*getattr(exc, "__notes__", ()), str(exc)]


def first_line(exc: BaseException) -> str:
    """The first line of an exception, without a full stop; its type where it has no text."""
    lines = str(exc).strip().splitlines()
    return (lines[0] if lines else type(exc).__name__).rstrip(".")
