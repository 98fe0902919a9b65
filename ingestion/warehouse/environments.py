"""Environments: warehouses apart from the main one, over the same lake."""

from typing import Protocol

from ingestion.settings import Settings
from ingestion.warehouse import engine_for


class Environments(Protocol):
    """The environments of one main warehouse, on one engine. The settings of each are given."""

    def sizes(self) -> dict[str, int]:
        """The environments by name, each with its size in bytes."""

    def create(self, environment: Settings, empty: bool) -> None:
        """Make it, as a copy of the main warehouse or empty; raises ``MedallionError``.

        It gets its name when it is whole.
        """

    def drop(self, environment: Settings) -> None:
        """Delete its warehouse; raises ``WarehouseBusyError`` while a run is under way on it."""

    def take_place(self, environment: Settings) -> None:
        """Let its warehouse take the place of the main one, at once.

        The caller holds the locks of a run on both.
        """


def environments_of(main: Settings) -> Environments:
    """The environments of the warehouse that the settings name."""
    engine_for(main)  # raises where these settings name none
    if main.target == "postgres":
        from ingestion.warehouse.postgres.environments import PostgresEnvironments

        return PostgresEnvironments(main)
    if main.target == "spark":
        from ingestion.warehouse.spark.environments import SparkEnvironments

        return SparkEnvironments(main)
    from ingestion.warehouse.duckdb.environments import DuckDbEnvironments

    return DuckDbEnvironments(main)
