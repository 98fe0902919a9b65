"""What an engine's fault comes to."""

import duckdb
import pytest

from ingestion.warehouse.base import reason_of


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("Conversion Error: Could not\n  convert", "Conversion Error: Could not convert"),
        # of a thread that DuckDB stopped because another one failed
        (
            "INTERRUPT Error: Interrupted!",
            "it failed half-way, and DuckDB does not say why; run it again",
        ),
    ],
)
def test_a_reason_is_one_line_that_can_be_acted_on(said: str, reason: str) -> None:
    assert reason_of(duckdb.Error(said)) == reason
