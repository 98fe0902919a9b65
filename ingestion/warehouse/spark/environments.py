"""Environments on Spark: there are none."""

from ingestion.errors import UsageError
from ingestion.settings import Settings


class SparkEnvironments:
    """No environment: Spark cannot rename a schema, so none could take the place of another."""

    def __init__(self, _main: Settings):
        pass

    def sizes(self) -> dict[str, int]:
        """Nothing."""
        return {}

    def create(self, _environment: Settings, _empty: bool) -> None:
        """Raise ``UsageError``."""
        raise _not_here()

    def drop(self, _environment: Settings) -> None:
        """Raise ``UsageError``."""
        raise _not_here()

    def take_place(self, _environment: Settings) -> None:
        """Raise ``UsageError``."""
        raise _not_here()


def _not_here() -> UsageError:
    return UsageError(
        "Environments are for DuckDB and PostgreSQL: Spark cannot rename a schema, so nothing could"
        " be promoted. Try the change on some months of DuckDB, which reads the same lake."
    )
