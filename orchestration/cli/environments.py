"""Environments, in which a change is tried: ``env create``, ``env list``, ``env drop``."""

from typing import Annotated

import typer

from orchestration.cli.options import Json, Sample, Target, command

env = typer.Typer(
    no_args_is_help=True,
    help="Environments: warehouses apart over the same lake, in which a change is tried.",
)
Name = Annotated[str, typer.Argument(metavar="NAME", help="The environment.")]


@env.command()
def create(
    name: Name,
    empty: Annotated[
        bool, typer.Option("--empty", help="Begin with nothing, not with a copy of the warehouse.")
    ] = False,
    sample: Sample = False,
    target: Target = None,
    as_json: Json = False,
) -> None:
    """Make an environment: a copy of the warehouse and of what it published.

    Every command works in it with `--env NAME`. It has the same lake. A run in it builds only what
    is stale there.
    """
    with command(sample, target, env="") as settings:
        from orchestration.cli.console import print_json, stdout
        from orchestration.job import environments

        made = environments.create(settings, name, empty)
        if as_json:
            print_json(made)
            return
        stdout.print(
            f"made {name}: {made.warehouse}, {made.bytes / 1e6:,.1f} MB",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


@env.command(name="list")
def list_(sample: Sample = False, target: Target = None, as_json: Json = False) -> None:
    """Show the environments: their size, when they were built, and what they published."""
    with command(sample, target, env="") as settings:
        from orchestration.cli.console import print_json, print_table
        from orchestration.job import environments

        found = environments.listed(settings)
        if as_json:
            print_json(found)
            return
        print_table(
            ("environment", "MB", "built (UTC)", "publication"),
            [
                (
                    e.name,
                    f"{e.bytes / 1e6:,.1f}",
                    f"{e.built_at:%Y-%m-%d %H:%M}" if e.built_at else None,
                    e.publication,
                )
                for e in found
            ],
        )


@env.command()
def drop(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    sample: Sample = False,
    target: Target = None,
) -> None:
    """Delete an environment: its warehouse and its publications; the lake stays as it is."""
    with command(sample, target, env="") as settings:
        from orchestration.cli.console import stdout
        from orchestration.job import environments

        environments.check_known(settings, name)
        if not yes and not typer.confirm(f"Drop the environment {name}?", err=True):
            stdout.print("nothing was dropped")
            return
        environments.drop(settings, name)
        stdout.print(f"dropped {name}")


def promote(
    name: Name, sample: Sample = False, target: Target = None, as_json: Json = False
) -> None:
    """Let what an environment published become what people see; nothing is built again.

    Its warehouse takes the place of the main one. It must be built, tested and published, and hold
    all that the main one holds. `medallion rollback` lets readers see what was before.
    """
    with command(sample, target, env="") as settings:
        from orchestration.cli.console import print_json, stdout
        from orchestration.job import environments

        done = environments.promote(settings, name)
        if as_json:
            print_json(done)
            return
        published = f", and readers see {done.publication}" if done.publication else ""
        stdout.print(
            f"{name} has taken the place of {done.warehouse}{published}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
