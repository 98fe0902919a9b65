"""What a column is made of: ``lineage``."""

from typing import Annotated

import typer

from orchestration.cli.options import Json, Quiet, command


def lineage(
    column: Annotated[
        str, typer.Argument(metavar="COLUMN", help="A column, as daily_trips.trips.")
    ],
    downstream: Annotated[
        bool, typer.Option("--downstream", help="Show what is made of it, in place of its origins.")
    ] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Show what a column of the models is made of, or what is made of it.

    From dbt's compiled models, and without a warehouse. `*` stands for the number of rows.
    """
    with command(False, None, quiet) as settings:
        from orchestration.cli.console import print_json, print_table, progress, stdout
        from orchestration.job.lineage import ROWS, read_lineage

        with progress(quiet) as watcher:
            found = read_lineage(settings, watcher)
        name = found.find(column)
        reached = found.downstream(name) if downstream else found.upstream(name)
        exposures = found.exposures_of([name, *reached]) if downstream else []
        if as_json:
            print_json(
                {
                    "column": name,
                    "downstream" if downstream else "upstream": reached,
                    "tests": found.column(name).tests,
                    "is_unresolved": name in found.unresolved,
                    **({"exposures": [e.name for e in exposures]} if downstream else {}),
                }
            )
            return
        said = found.column(name)
        stdout.print(f"{name} {said.type or ''}", markup=False, highlight=False)
        if said.description:
            stdout.print(said.description, markup=False, highlight=False, soft_wrap=True)
        print_table(
            ("steps", "column", "description"),
            [
                (steps, other, "" if other.endswith(ROWS) else found.column(other).description)
                for other, steps in reached.items()
            ],
            f"\n{'made of it' if downstream else 'made of'}",
        )
        if not reached:
            unresolved = name in found.unresolved
            stdout.print("not known" if unresolved else "nothing: " + _why(downstream))
        for exposure in exposures:
            stdout.print(f"used by {exposure.label}", markup=False, highlight=False)


def _why(downstream: bool) -> str:
    return "no model uses it" if downstream else "it is a constant, or read from a source"
