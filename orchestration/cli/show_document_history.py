"""Print the versions of a document, and what each of them changed in its text."""

from collections.abc import Sequence
from datetime import datetime

from ingestion.words import counted, on_one_line
from orchestration.cli.console import print_table, printable, stdout
from orchestration.job.document_versions import DocumentVersion, TextChanges


def print_history(versions: Sequence[DocumentVersion], diff: bool = False) -> None:
    """Print a table of the versions, and below it what changed; ``diff`` prints the lines too."""
    print_table(
        ("version", "published (UTC)", "landed (UTC)", "status", "bytes", "pages", "in the lake"),
        [
            (
                v.version[:8],
                _moment(v.published_at),
                _moment(v.landed_at),
                "in use" if v.is_current else v.status,
                v.bytes,
                v.pages,
                v.lake_path,
            )
            for v in versions
        ],
    )
    _say("")
    for url in dict.fromkeys(on_one_line(v.source_url) for v in versions):
        _say(f"published at {url}")
    for version in versions:
        name = version.version[:8]
        if version.pages is None:
            _say(f"{name}: no text was read out of it")
        elif version.reason:
            _say(f"{name} has no text: {version.reason}")
        elif version.changes:
            _say(f"{name} changed, of {version.changes.since[:8]}: {_summary(version.changes)}")
            for line in version.changes.diff if diff else ():
                _say(f"  {line}")


def _summary(changes: TextChanges) -> str:
    if not (changes.lines_new or changes.lines_gone):
        return "no line of its text"
    pages = ", ".join(map(str, changes.pages))
    where = f", on {'page' if len(changes.pages) == 1 else 'pages'} {pages}" if pages else ""
    new = counted(changes.lines_new, "line")
    return f"{new} of its text new, {changes.lines_gone:,} gone{where}"


def _moment(moment: datetime | None) -> str | None:
    return f"{moment:%Y-%m-%d %H:%M}" if moment else None


def _say(text: str) -> None:
    stdout.print(printable(text), highlight=False, soft_wrap=True)
