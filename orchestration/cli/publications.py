"""Publications of the marts: ``publish``, ``publications``, ``rollback``."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestration.cli.options import Env, Json, Quiet, Sample, Target, command

if TYPE_CHECKING:
    from ingestion.publications.manifest import Publication


def publish(
    sample: Sample = False,
    target: Target = None,
    env: Env = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Publish the marts as Parquet files, if their tests passed and the ledger balances.

    `medallion run` does so by itself. This is for marts that `dbt build` made.
    """
    with command(sample, target, quiet, env=env) as settings:
        from ingestion.publications.storage import open_publications
        from orchestration.cli.console import print_json, progress, stdout
        from orchestration.job.publish import publish as publish_stage
        from orchestration.job.under_way import only_run, reported

        store = open_publications(settings)  # says so where nothing is published
        with (
            only_run(settings),
            progress(quiet) as watcher,
            reported(settings, "publish", progress=watcher) as this,
        ):
            this.begin("publish")
            done = publish_stage(settings, progress=this)
        assert done is not None  # the settings publish
        if as_json:
            print_json(
                {
                    "publication": done.publication.id,
                    "is_new": done.is_new,
                    "files_written": done.files_written,
                    "bytes_written": done.bytes_written,
                    "url": store.url,
                }
            )
        else:
            stdout.print(f"{done.summary}, at {store.url}")


def publications(
    sample: Sample = False, target: Target = None, env: Env = None, as_json: Json = False
) -> None:
    """Show the publications that can be read, the newest last."""
    with command(sample, target, env=env) as settings:
        from ingestion.publications.read import current, kept
        from orchestration.cli.console import print_json, print_table

        shown = current(settings)
        found = kept(settings)
        if as_json:
            print_json([_summary(p) | {"is_current": p == shown} for p in found])
            return
        print_table(
            ("publication", "made (UTC)", "run", "months", "rows", "MB", "", ""),
            [
                (
                    p.id,
                    f"{p.created_at:%Y-%m-%d %H:%M}",
                    p.origin.run,
                    _months(p),
                    p.origin.ledger.get("rows"),
                    f"{_bytes(p) / 1e6:,.1f}",
                    "current" if p == shown else "",
                    f"restores {p.restores}" if p.restores else "",
                )
                for p in found
            ],
        )


def _summary(publication: "Publication") -> dict[str, Any]:
    return {
        "publication": publication.id,
        "made": publication.created_at,
        "run": publication.origin.run,
        "release": publication.origin.project_version,
        "months": _months(publication),
        "rows": publication.origin.ledger.get("rows"),
        "files": len(publication.parts),
        "bytes": _bytes(publication),
        "restores": publication.restores,
        "hides": publication.hides,
    }


def _months(publication: "Publication") -> int:
    return sum(len(months) for months in publication.origin.versions.values())


def _bytes(publication: "Publication") -> int:
    return sum(part.bytes for part in publication.parts.values())


def rollback(
    publication: Annotated[
        str,
        typer.Argument(metavar="ID|DATE", help="A publication, as `medallion publications` lists."),
    ],
    sample: Sample = False,
    target: Target = None,
    env: Env = None,
    as_json: Json = False,
) -> None:
    """Let readers see an earlier publication again, at once; say what that hides.

    The next run that makes something new publishes it. One that finds nothing new changes nothing.
    """
    with command(sample, target, env=env) as settings:
        from orchestration.cli.console import print_json, print_table, stdout
        from orchestration.job.rollback import rollback as roll_back

        done = roll_back(settings, publication)
        if as_json:
            print_json(done)
            return
        stdout.print(f"readers see {done.restores} again, as {done.publication}")
        if not done.hidden:
            stdout.print("it hides nothing: the files of every mart are equal")
            return
        print_table(
            ("table", "months", "rows then", "rows hidden"),
            [(h.table, ", ".join(h.months), h.rows, h.hidden_rows) for h in done.hidden],
        )
