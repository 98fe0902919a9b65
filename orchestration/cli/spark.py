"""A small Spark cluster on this machine: ``spark up``, ``spark down``."""

from pathlib import Path
from typing import Annotated

import typer

from orchestration.cli.options import command

spark = typer.Typer(
    no_args_is_help=True,
    help="A small Spark cluster on this machine, to try MEDALLION_TARGET=spark.",
)


@spark.command()
def up(
    workers: Annotated[
        int,
        typer.Option(
            min=0,
            max=64,
            help="Workers; each takes one core. With 0, the server does their work on every core.",
        ),
    ] = 2,
    memory: Annotated[
        str, typer.Option(help="Memory of each worker's executor, and of the server.")
    ] = "1g",
    conf: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="A setting of Spark's; may be given several times."),
    ] = None,
    home: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Another Spark than that of the wheel, such as 3.5."),
    ] = None,
) -> None:
    """Start a master, workers and a Thrift server, and return when they answer.

    They listen on this machine only, and everybody with an account on it can use them. Later
    commands find them at MEDALLION_SPARK_PORT with `--target spark`. Tables and logs are under
    MEDALLION_SPARK_DIR, and stay there.
    """
    with command(False, None, quiet=False) as settings:
        from ingestion.warehouse.spark import cluster
        from orchestration.cli.console import progress, stdout

        with progress(quiet=False) as shown:
            started = cluster.up(
                settings.spark_dir, settings.spark_port, workers, memory, conf or [], shown, home
            )
        stdout.print(
            f"Spark answers at {cluster.HOST}:{started.port}, with {workers} workers."
            " Use it with: medallion run --target spark",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


@spark.command()
def down() -> None:
    """Stop the cluster that `medallion spark up` started; its tables stay."""
    with command(False, None) as settings:
        from ingestion.warehouse.spark import cluster
        from orchestration.cli.console import stdout

        was_up = cluster.down(settings.spark_dir)
        stdout.print("stopped Spark" if was_up else "no cluster was running", markup=False)
