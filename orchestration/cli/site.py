"""Make the site, and show it: ``site``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestration.cli.options import AsOf, Env, Json, Quiet, Sample, Target, command

if TYPE_CHECKING:
    from ingestion.settings import Settings
    from orchestration.site.build import Built


def site(
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="The folder of the site; by default that of MEDALLION_SITE_DIR.",
        ),
    ] = None,
    serve: Annotated[
        bool,
        typer.Option("--serve", help="Then show it in the browser, from this machine only."),
    ] = False,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="With --serve; by default any free one.")
    ] = 0,
    as_of: AsOf = None,
    sample: Sample = False,
    target: Target = None,
    env: Env = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Make a site from the marts: static pages that open from disk and ask no server.

    While a run is under way it is made of the publication. Needs the extra `site`.
    """
    if port and not serve:
        raise typer.BadParameter("--port goes with --serve.")
    with command(sample, target, quiet, as_of=as_of, env=env) as settings:
        from orchestration.cli.console import print_json, stdout

        built = make_site(settings, out, quiet)
        if as_json:
            print_json({"index": str(built.index), "pages": built.pages, "bytes": built.bytes})
        else:
            stdout.print(built.summary, highlight=False)
    if serve:
        from orchestration.site.serve import serve as show

        show(built.folder, port, stdout.print)


def index_of(settings: "Settings") -> Path | None:
    """The first page of the site of these settings; None if there is no site yet."""
    index = settings.site_path and settings.site_path / "index.html"
    return index if index and index.exists() else None


def make_site(settings: "Settings", out: Path | None, quiet: bool) -> "Built":
    """Make the site, and say on stderr what is read."""
    from orchestration.cli.console import notice
    from orchestration.site.build import build_site

    return build_site(settings, out and out.expanduser().absolute(), notice if not quiet else str)
