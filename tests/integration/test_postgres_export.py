"""What is published from PostgreSQL is what it holds, whatever the session's own settings."""

from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pytest

from ingestion.errors import WarehouseError
from ingestion.settings import Settings
from ingestion.warehouse import engine_for
from tests.support import postgres

ROWS = {
    "one column, also null": (
        "select * from (values (1), (null), (3)) as v (n)",
        [(1,), (3,), (None,)],
    ),
    "one text": ("select * from (values (''), (null), ('a')) as v (t)", [("",), ("a",), (None,)]),
    "letters": (
        r"select convert_from('\xc3a920c3bc20e282ac', 'UTF8') as t",
        [("é ü \u20ac",)],
    ),
    "years": (
        "select timestamp '12023-02-18 01:02:03.456789' as a, date '12023-02-18' as b,"
        " timestamp '0044-03-15 12:00:00 BC' as c",
        [("12023-02-18 01:02:03.456789", "12023-02-18", "0044-03-15 (BC) 12:00:00")],
    ),
    "an offset in seconds": (
        "select timestamptz '1900-01-01 00:00:00+00' as t",
        [("1900-01-01 00:00:00+00",)],
    ),
    "lines": (
        "select E'a\\nb,\"c\"'::text as t, true as b, 1.50::numeric(6,2) as n",
        [('a\nb,"c"', "true", "1.50")],
    ),
    "json": ("select '{\"a\": 1}'::json as j", [('{"a": 1}',)]),
    "numbers": (
        "select 'NaN'::float8 as a, '-Infinity'::float8 as b, 5e-324::float8 as c,"
        " 9223372036854775807 as d",
        [("nan", "-inf", "5e-324", "9223372036854775807")],
    ),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with postgres.server(tmp_path_factory.mktemp("postgres")) as variables:
        yield variables


@pytest.mark.parametrize("options", ["", "-c timezone=Africa/Monrovia -c datestyle=German"])
def test_every_value_is_kept(
    server: dict[str, str],
    options: str,
    make_settings: Callable[..., Settings],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    for name, value in (server | {"PGDATABASE": "postgres", "PGCLIENTENCODING": "LATIN1"}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PGOPTIONS", options)
    engine = engine_for(make_settings(target="postgres"))
    path = tmp_path / "rows.parquet"
    for what, (sql, rows) in ROWS.items():
        with engine.session(read_only=True) as session:
            engine.export(session, sql, path)
        with duckdb.connect() as connection:
            connection.execute("set timezone = 'UTC'")
            found = connection.execute(
                f"select columns(*)::varchar from read_parquet('{path}') order by all"
            ).fetchall()
        expected = [tuple(None if v is None else str(v) for v in row) for row in rows]
        assert found == expected, what


def test_a_value_that_parquet_does_not_have_is_one_line(
    server: dict[str, str],
    make_settings: Callable[..., Settings],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    for name, value in (server | {"PGDATABASE": "postgres"}).items():
        monkeypatch.setenv(name, value)
    engine = engine_for(make_settings(target="postgres"))
    many = "select 'NaN'::numeric(10, 2) as n from generate_series(1, 2000000)"
    for sql in ("select timestamp 'infinity' as t", many):
        with engine.session(read_only=True) as session, pytest.raises(WarehouseError) as raised:
            engine.export(session, sql, tmp_path / "rows.parquet")
        assert "\n" not in str(raised.value)
    assert "Traceback" not in capfd.readouterr().err
