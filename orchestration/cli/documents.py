"""Read documents: ``documents list``, ``show``, ``history``, ``search``."""

from datetime import date
from typing import Annotated

import typer

from orchestration.cli.options import Json, Sample, command, day_of

documents = typer.Typer(help="List, read and search the documents in the lake.")


@documents.callback(invoke_without_command=True)
def _by_default(context: typer.Context, sample: Sample = False, as_json: Json = False) -> None:
    if context.invoked_subcommand is None:
        list_documents(sample, as_json)


@documents.command("list")
def list_documents(sample: Sample = False, as_json: Json = False) -> None:
    """List the current version of each document; without a verb, this is done."""
    with command(sample, None) as settings:
        from ingestion.words import on_one_line
        from orchestration.cli.console import print_json, print_table
        from orchestration.job import documents as job

        found = job.documents(settings)
        if as_json:
            print_json(found)
            return
        print_table(
            (
                "dataset",
                "document",
                "type",
                "bytes",
                "pages",
                "version",
                "landed",
                "without text",
            ),
            [
                (
                    d.dataset,
                    on_one_line(d.name),
                    d.media_type,
                    d.bytes,
                    d.pages,
                    d.version[:8],
                    f"{d.landed_at:%Y-%m-%d}",
                    d.reason,
                )
                for d in found
            ],
        )


@documents.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The document, as it is listed.")],
    open_it: Annotated[
        bool, typer.Option("--open", help="Open the document itself, by the desktop's program.")
    ] = False,
    dataset: Annotated[
        str | None, typer.Option("--dataset", help="Its dataset, if several have this name.")
    ] = None,
    as_of: Annotated[
        date | None,
        typer.Option(
            "--as-of",
            parser=day_of,
            metavar="YYYY-MM-DD",
            help="Its version at the end of that day, as the lake held it.",
        ),
    ] = None,
    sample: Sample = False,
) -> None:
    """Print the text of a document, page by page."""
    with command(sample, None) as settings:
        from orchestration.cli.console import printable, stdout
        from orchestration.job import documents as job

        if open_it:
            from ingestion.addresses import local_path
            from ingestion.errors import UsageError

            folder = local_path(settings.lake_url)
            if folder is None:
                raise UsageError("--open needs a lake in a folder; this one is in a bucket.")
            typer.launch(str(folder / job.version_of(settings, name, dataset, as_of).lake_path))
            return
        pages = job.text_of(settings, name, dataset, as_of)
        for number, text in enumerate(pages, 1):
            stdout.print(f"--- page {number} of {len(pages)} ---", highlight=False)
            stdout.print(printable(text), highlight=False)


@documents.command()
def history(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The document, as it is listed.")],
    dataset: Annotated[
        str | None, typer.Option("--dataset", help="Its dataset, if several have this name.")
    ] = None,
    diff: Annotated[
        bool, typer.Option("--diff", help="Print the lines of the text that changed.")
    ] = False,
    sample: Sample = False,
    as_json: Json = False,
) -> None:
    """Show every version of a document, and how its text changed; the lake keeps them all."""
    with command(sample, None) as settings:
        from orchestration.cli.console import print_json
        from orchestration.cli.show_document_history import print_history
        from orchestration.job.document_versions import history_of

        found = history_of(settings, name, dataset)
        if as_json:
            print_json(found)
        else:
            print_history(found, diff)


@documents.command()
def search(
    words: Annotated[list[str], typer.Argument(metavar="WORDS", help="What the page is about.")],
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="Pages at most.")] = 10,
    sample: Sample = False,
    as_json: Json = False,
) -> None:
    """Rank the pages that the words are about, with an excerpt of each."""
    with command(sample, None) as settings:
        from ingestion.words import on_one_line
        from orchestration.cli.console import print_json, print_table
        from orchestration.job import documents as job

        found = job.search(settings, " ".join(words), limit)
        if as_json:
            print_json(found)
            return
        print_table(
            ("dataset", "document", "page", "score", "excerpt"),
            [
                (f.dataset, on_one_line(f.document), f.page, round(f.score, 2), f.excerpt)
                for f in found
            ],
        )
