"""Maintenance: ``verify``, ``prune``, ``catalog``, ``setup-postgres``."""

import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from ingestion.errors import UsageError
from orchestration.cli.options import Env, Json, Quiet, Sample, Target, command, end_with


def verify(
    restore: Annotated[
        bool, typer.Option("--restore", help="Download damaged files again and put them back.")
    ] = False,
    warehouse: Annotated[
        bool,
        typer.Option(
            "--warehouse",
            help="Also compare every raw table with its file, value by value: reads both whole.",
        ),
    ] = False,
    alert: Annotated[
        bool,
        typer.Option(
            "--alert",
            help="Send a message to MEDALLION_ALERT_WEBHOOK_URL when an error begins, and when it"
            " is over: for a timer without Prefect.",
        ),
    ] = False,
    sample: Sample = False,
    target: Target = None,
    env: Env = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Read the whole lake and the published marts, and compare the sha256 of every file.

    A record that cannot be read, and an object without a record, are errors too. The next run
    writes damaged files of the present publication again.
    """
    with command(sample, target, quiet, env=env) as settings:
        from orchestration.cli.console import print_json, progress, stdout
        from orchestration.job.verify import verify as verify_all

        if alert and not settings.alert_webhook_url:
            raise UsageError("--alert has no receiver. Set MEDALLION_ALERT_WEBHOOK_URL.")
        with progress(quiet) as watcher:
            found = verify_all(settings, restore, warehouse, watcher)
        if as_json:
            print_json(
                [
                    {
                        "path": v.landing.lake_path,
                        "fault": v.error,
                        "restored": v.is_restored,
                        "not_restored": v.not_restored,
                    }
                    for v in found.versions
                ]
                + [
                    {"path": path, "fault": error, "restored": False, "not_restored": None}
                    for path, error in (
                        *((s.path, s.error) for s in found.orphans),
                        *((f.path, f.error) for f in found.published),
                        *((t.table, t.error) for t in found.raw_tables or ()),
                    )
                ]
            )
        else:
            for line in found.summary:
                stdout.print(line)
        errors = found.errors
        if alert:
            from orchestration.alerting.watch import tell_of_verification

            errors += tell_of_verification(settings, errors)
        end_with(errors)


def prune(
    older_than: Annotated[
        int,
        typer.Option(
            "--older-than",
            min=0,
            max=36500,
            metavar="DAYS",
            help="Only versions that another version replaced more than so many days ago.",
        ),
    ] = 90,
    yes: Annotated[
        bool, typer.Option("--yes", help="Drop them. Without it, they are only shown.")
    ] = False,
    sample: Sample = False,
    target: Target = None,
    env: Env = None,
    as_json: Json = False,
) -> None:
    """Drop raw tables of superseded versions from the warehouse; the lake keeps every version."""
    with command(sample, target, env=env) as settings:
        from ingestion.warehouse.retention import prune as prune_versions
        from ingestion.words import counted
        from orchestration.cli.console import print_json, print_table, stdout
        from orchestration.job.retention import superseded

        versions = superseded(settings, timedelta(days=older_than))
        if yes:
            prune_versions(settings, versions)
        if as_json:
            print_json({"dropped": yes, "versions": versions})
            return
        rows = [
            (v.table_name, f"{v.landed_at:%Y-%m-%d}", f"{v.superseded_at:%Y-%m-%d}", v.rows)
            for v in versions
        ]
        print_table(("table", "landed", "superseded", "rows"), rows)
        verb = "dropped" if yes else "would be dropped; add --yes to drop them"
        stdout.print(f"{counted(len(versions), 'superseded version')} {verb}")


def catalog(
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The database to write. By default lake.duckdb, beside the warehouse.",
        ),
    ] = None,
    sample: Sample = False,
    as_json: Json = False,
) -> None:
    """Write a small DuckDB database of views over the lake, and its SQL script.

    It has for each dataset `NAME` (current versions), `NAME_all` (every version) and
    `NAME_as_of('2024-05-01')`, and the table `versions`. It holds no data and no credentials.
    """
    with command(sample, None, env="") as settings:
        from ingestion.lake.reading.views import write_lake_views
        from ingestion.words import counted_are
        from orchestration.cli.console import print_json, stdout

        beside = f"lake.{settings.variant}.duckdb" if settings.variant else "lake.duckdb"
        path = (out or settings.duckdb_path.with_name(beside)).expanduser().absolute()
        written = write_lake_views(settings, path)
        if as_json:
            print_json(written)
            return
        lines = [
            f"{counted_are(written.versions, 'version')} in {written.database}",
            f"script  {written.script}",
        ]
        if written.connect:
            lines += [
                "",
                "A session that opens it begins with:",
                *(f"{s};" for s in written.connect),
            ]
        for line in lines:
            stdout.print(line, highlight=False, markup=False, soft_wrap=True)


def setup_postgres(
    prefix: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="How the roles' names begin. By default MEDALLION_POSTGRES_ROLES, or medallion.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the SQL; change nothing.")
    ] = False,
    sample: Sample = False,
) -> None:
    """Create three PostgreSQL roles: one loads, one transforms, one reads the marts.

    Connect as a superuser, or as the database's owner with the right to create roles. Afterwards
    nobody else can read. The command can be run again at any time. It changes no password.
    """
    with command(sample, "postgres") as settings:
        from ingestion.warehouse.postgres.engine import Postgres
        from ingestion.warehouse.postgres.roles import roles_named
        from orchestration.cli.console import stdout

        roles = roles_named(prefix or settings.postgres_roles or "medallion")
        engine = Postgres(settings)
        if dry_run:
            for statement in engine.setup_sql(roles):
                sys.stdout.write(f"{statement};\n")
            return
        engine.set_up(roles)
        stdout.print(
            f"{roles.loader} loads, {roles.transformer} transforms and {roles.reader} reads the"
            f" marts in {engine.label}.\n"
            f"Give them passwords with psql's \\password, or grant them to who logs in."
            f" With MEDALLION_POSTGRES_ROLES={roles.prefix} each stage acts as its role.",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
