"""The command line: ``medallion``.

Results go to stdout, progress and errors to stderr. Exit code 0 is good, 1 means that the run
failed, 2 that the command or a setting is wrong. A command imports what it needs when it runs,
so that help is fast.
"""

import errno
import io
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Annotated

import typer

from ingestion.out_of_memory import exit_when_out_of_memory
from orchestration.cli import assistants, backfill, changes, decide, lookup, stages, upkeep
from orchestration.cli import documents as reading_documents
from orchestration.cli import environments as trying
from orchestration.cli import lineage as tracing
from orchestration.cli import publications as publishing
from orchestration.cli import site as showing
from orchestration.cli import sources as looking_at_sources
from orchestration.cli import spark as a_cluster
from orchestration.cli import watch as watching

SECONDS_TO_END = 4.0
SIGNALLED = 128
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)

# How `medallion --help` groups the commands.
PANELS: dict[str, tuple[Callable[..., None], ...]] = {
    "The job": (
        stages.run,
        backfill.backfill,
        stages.land,
        stages.load,
        stages.transform,
        stages.audit,
        publishing.publish,
    ),
    "Looking": (
        lookup.status,
        lookup.history,
        lookup.explain,
        lookup.query,
        showing.site,
        tracing.lineage,
        assistants.mcp,
    ),
    "Sources": (looking_at_sources.sources,),
    "Publications": (publishing.publications, publishing.rollback),
    "Environments": (changes.check_change, changes.diff, trying.promote),
    "The lake": (upkeep.verify, upkeep.catalog, decide.withdraw, decide.forget),
    "Upkeep": (lookup.doctor, watching.watch, upkeep.prune, upkeep.setup_postgres),
}

app = typer.Typer(
    name="medallion",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    add_completion=False,
    epilog="Settings come from the environment and .env; see .env.example. "
    "`medallion run --sample` runs the whole job on generated data.",
)
for panel, verbs in PANELS.items():
    for verb in verbs:
        app.command(rich_help_panel=panel)(verb)
app.add_typer(looking_at_sources.source, name="source", rich_help_panel="Sources")
app.add_typer(trying.env, name="env", rich_help_panel="Environments")
app.add_typer(a_cluster.spark, name="spark", rich_help_panel="Upkeep")
app.add_typer(reading_documents.documents, name="documents", rich_help_panel="Sources")


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        sys.stdout.write(f"medallion {version('medallion')}\n")
        raise typer.Exit


@app.callback()
def _medallion(
    show_version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Load New York City's trip records into a warehouse, and prove that no row is lost."""


def _open_what_is_closed() -> None:
    """Let a standard stream that was closed (``>&-``) lead nowhere.

    Otherwise the first file that is opened would have its number, and get what is printed.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the least free number
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115


def _drop_output() -> None:
    """Let what is still to be printed lead nowhere: Python tries again when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@exit_when_out_of_memory()
def main() -> None:
    """Run the command line; after a signal exit with 128 plus its number: 130 for Ctrl-C.

    What was committed before the signal stays.
    """
    _open_what_is_closed()
    asked: list[int] = []

    def stop(number: int, _frame: object) -> None:
        asked.append(number)
        # a database driver that waits for its server does not see the exception, so end the
        # process; the next run does again what was not committed
        timer = threading.Timer(SECONDS_TO_END, os._exit, [SIGNALLED + number])
        timer.daemon = True
        timer.start()
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    for stream in (sys.stdout, sys.stderr):
        # a character that the terminal cannot show is replaced, and raises no exception
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # the reader of our output has closed it, as head does
        _drop_output()
        sys.exit(141)
    except BaseException as exc:  # DuckDB makes an error of its own of the interrupt
        if asked:
            sys.stderr.write("interrupted; run the same again to go on\n")
            sys.exit(SIGNALLED + asked[0])
        if not (isinstance(exc, OSError) and exc.errno in NO_ROOM):
            raise
        _drop_output()
        sys.stderr.write(
            f"error: Cannot write: {exc.strerror}. Make room where files and output go, and run"
            " the same again.\n"
        )
        sys.exit(1)
