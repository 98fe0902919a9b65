"""Environments on PostgreSQL: databases beside the warehouse's own, on the same server."""

import re

from ingestion.errors import MedallionError, WarehouseError
from ingestion.locks import this_process
from ingestion.schema_on_read import POSTGRES
from ingestion.setting_values import ENV_NAME
from ingestion.settings import ENV_VARIANT, Settings
from ingestion.warehouse.postgres.engine import Postgres, create_database
from ingestion.warehouse.postgres.roles import database_sql
from ingestion.warehouse.postgres.session import PostgresSession, connect_libpq

MAINTENANCE = "postgres"  # the database to be in while others are made, renamed and dropped


class PostgresEnvironments:
    """The environments of the warehouse in one database."""

    def __init__(self, main: Settings):
        self._main = Postgres(main)
        self._database = self._main.database

    def sizes(self) -> dict[str, int]:
        """The environments by name, each with the size of its database."""
        is_ours = re.compile(f"{re.escape(self._database)}_{ENV_VARIANT}({ENV_NAME})")
        connection = connect_libpq(MAINTENANCE)
        try:
            rows = (
                PostgresSession(connection)
                .query(
                    "select datname, case when has_database_privilege(datname, 'connect')"
                    " then pg_database_size(datname) end from pg_database order by datname"
                )
                .rows
            )
        finally:
            connection.close()
        found = ((is_ours.fullmatch(name), size) for name, size in rows)
        return {match[1]: int(size or 0) for match, size in found if match}

    def create(self, environment: Settings, empty: bool) -> None:
        """Create the database, from the main one as its template or empty.

        The server lets nobody into the main one while it is copied, and copies it only while
        nobody is in.
        """
        engine = Postgres(environment)
        if empty:
            create_database(engine.database, engine.roles)
            return
        with self._main.only_run():
            pass  # no run is under way; its own session would stop the copy
        name, main = map(POSTGRES.quote, (engine.database, self._database))
        try:
            self._maintain([f"create database {name} template {main}"])
        except WarehouseError as exc:
            raise MedallionError(
                f"{self._main.label} cannot be copied: {exc}. PostgreSQL copies a database only"
                " while nobody else is connected to it: ask them to leave, or begin with an empty"
                " environment: --empty."
            ) from exc
        self._close(engine)

    def drop(self, environment: Settings) -> None:
        """Drop the database; the server refuses while anybody is connected to it."""
        engine = Postgres(environment)
        with engine.only_run():
            pass
        try:
            self._maintain([f"drop database {POSTGRES.quote(engine.database)}"])
        except WarehouseError as exc:
            raise MedallionError(f"{engine.label} cannot be dropped: {exc}.") from exc

    def take_place(self, environment: Settings) -> None:
        """Let the two databases change their names, in one transaction.

        The old warehouse stays, as the database of the environment.
        """
        engine = Postgres(environment)
        self._close(engine)
        main, other = map(POSTGRES.quote, (self._database, engine.database))
        beside = POSTGRES.quote(f"{self._database[:50]}_changing")
        ours = this_process().partition(", since")[0]
        try:
            self._maintain(
                [
                    # our own sessions hold the locks until now
                    "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
                    f" where datname in ({_text(self._database)}, {_text(engine.database)})"
                    f" and application_name like {_text(ours + ', since%')}",
                    "begin",
                    f"alter database {main} rename to {beside}",
                    f"alter database {other} rename to {main}",
                    f"alter database {beside} rename to {other}",
                    "commit",
                ]
            )
        except WarehouseError as exc:
            raise MedallionError(
                f"{engine.label} cannot take the place of {self._main.label}: {exc}. PostgreSQL"
                " renames a database only while nobody is connected to it: ask them to leave, and"
                " run it again. Nothing was changed."
            ) from exc

    def _close(self, engine: Postgres) -> None:
        """Let the same roles in as into the main database: a copy has its tables' rights only."""
        if not engine.roles:
            return
        connection = connect_libpq(engine.database)
        try:
            session = PostgresSession(connection)
            with session.transaction():
                for statement in database_sql(engine.roles, engine.database):
                    session.execute(statement)
        finally:
            connection.close()

    def _maintain(self, statements: list[str]) -> None:
        connection = connect_libpq(MAINTENANCE)
        try:
            connection.autocommit = True
            session = PostgresSession(connection)
            for statement in statements:
                session.execute(statement)
        finally:
            connection.close()


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
