"""What strangers may try: by a query, by names in files, by the places that are asked."""

import tomllib
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from ingestion.errors import WarehouseError
from ingestion.settings import PROJECT_ROOT, Settings
from ingestion.warehouse import connect
from tests.conftest import MakeSettings
from tests.faults.conftest import Tally
from tests.support import postgres
from tests.support.trips import publish, trips
from tests.support.warehouses import landed_and_loaded

pytestmark = pytest.mark.slow

JANUARY = date(2024, 1, 1)
CANARY = "canary-7f3a"
# {folder} is one that strangers may not touch; it holds secret.csv
ON_DUCKDB = (
    "copy (select 1) to '{folder}/new'",
    "explain analyze copy (select 1) to '{folder}/new'",
    "EXPLAIN /* x */ ANALYZE copy (select 1) to '{folder}/new'",
    "explain -- analyze\n analyze copy (select 1) to '{folder}/new'",
    "explain (analyze) copy (select 1) to '{folder}/new'",
    "explain (analyze, format json) copy (select 1) to '{folder}/new'",
    "explain analyze copy (select 1) to '{lake}/new.parquet'",
    "copy (pivot raw.files on dataset using count(*)) to '{lake}/new.parquet'",
    "explain analyze copy (pivot raw.files on dataset using count(*)) to '{lake}/new.parquet'",
    "create table raw.mine as pivot raw.files on dataset using count(*)",
    "pivot raw.files on dataset using count(*); delete from raw.files",
    "explain analyze create table raw.mine as select 1",
    "explain analyze delete from raw.files",
    "export database '{folder}/new'",
    "attach '{folder}/new' as new",
    "create table raw.mine as select 1",
    "create temp table mine as select 1",
    "delete from raw.files",
    "select 1; delete from raw.files",
    "from '{folder}/secret.csv'",
    "select * from read_csv('{folder}/secret.csv')",
    "select * from \"read_csv\"('{folder}/secret.csv')",
    "select * from system.main.read_text /* x */ ('{folder}/secret.csv')",
    "select content from read_text('{folder}/secret.csv')",
    "select * from read_blob('{warehouse}')",
    "select * from query('from read_text(''{folder}/secret.csv'')')",
    "select * from query_table(['{folder}/secret.csv'])",
    "select (select content from read_text('{folder}/secret.csv'))",
    "with a as (select * from read_text('{folder}/secret.csv')) from a",
    "summarize '{folder}/secret.csv'",
    "describe '{folder}/secret.csv'",
    "from '{lake}/../strangers/secret.csv'",
    "from glob('{folder}/*')",
    "from sniff_csv('{folder}/secret.csv')",
    "from json_execute_serialized_sql("
    "json_serialize_sql('from read_text(''{folder}/secret.csv'')'))",
    "from 'http://127.0.0.1:9/secret.csv'",
    "from read_duckdb('{folder}/other.duckdb', table_name = 't')",
    "from enable_logging(storage = 'file', storage_path = '{lake}/new')",
    "from enable_logging(storage = 'file', storage_path = '{warehouse}.tmp/new')",
    "call enable_logging(storage = 'file', storage_path = '{folder}/new')",
    "call disable_logging()",
    "call force_checkpoint()",
    "from checkpoint()",
    "install httpfs",
    "load httpfs",
    "load '{folder}/secret.csv'",
    "from st_read('{folder}/secret.csv')",
    "from sqlite_scan('{folder}/secret.csv', 't')",
    "set memory_limit = '1MB'",
    "set variable mine = 1",
    "reset memory_limit",
    "pragma memory_limit = '1MB'",
    "pragma enable_profiling = 'json'",
    "pragma profiling_output = '{folder}/new'",
    "pragma import_database('{folder}')",
    "create secret mine (type http, bearer_token 'x')",
    "from duckdb_secrets(redact = false)",
    "from arrow_scan(1, 1, 1)",
    "use tlc",
    "checkpoint",
    "vacuum",
    "begin",
)
ON_POSTGRES = (
    "copy (select 1) to '{folder}/new'",
    "copy (select 1) to program 'touch {folder}/new'",
    "create table raw.mine as select 1",
    "create temp table mine as select 1",
    "delete from raw.files",
    "select 1; delete from raw.files",
    "select 1) as answer; delete from raw.files; select * from (select 1",
    "with gone as (delete from raw.files returning 1) select * from gone",
    "commit; delete from raw.files",
    "set transaction read write",
    "select * into raw.mine from raw.files",
    "select * from raw.files for update",
    "select pg_read_file('{folder}/secret.csv')",
    "select * from (values (1), (length(pg_read_file('{folder}/secret.csv')))) as v",
    "select 1 limit length(pg_read_file('{folder}/secret.csv'))",
    "select pg_read_binary_file('{folder}/secret.csv')",
    "select U&\"pg\\005fread_file\"('{folder}/secret.csv')",
    "select pg_ls_dir('{folder}')",
    "select pg_stat_file('{folder}/secret.csv')",
    "select * from pg_hba_file_rules",
    "select query_to_xml('select pg_read_file(''{folder}/secret.csv'')', true, true, '')",
    "select set_config('role', '{user}', true), pg_read_file('{folder}/secret.csv')",
    "select set_config('role', '{user}', true)",
    "select set_config('session_authorization', '{user}', true)",
    "select set_config('transaction_read_only', 'off', true)",
    "select set_config('log_statement', 'all', false)",
    "explain analyze select set_config('role', '{user}', true),"
    " query_to_xml('select pg_read_file(''{folder}/secret.csv'')', true, true, '')",
    "select lo_from_bytea(0, 'x')",
    "select lo_import('{folder}/secret.csv')",
    "select lo_export(0, '{folder}/new')",
    "select pg_terminate_backend({pid})",
    "select pg_cancel_backend({pid})",
    "select pg_reload_conf()",
    "select pg_switch_wal()",
    "select pg_create_restore_point('mine')",
    "select pg_create_physical_replication_slot('mine')",
    "select nextval('raw.counter')",
    "select setval('raw.counter', 99)",
    "select pg_stat_reset_shared('bgwriter')",
    "load 'auto_explain'",
    "create extension dblink",
    "alter system set work_mem = '1GB'",
    "listen mine",
    "lock table raw.files",
    "do $$ begin perform 1; end $$",
    "call raw.mine()",
    "prepare mine as select 1",
    "declare mine cursor for select 1",
)
# what may not be refused, because it is taken back
PASSING_ON_POSTGRES = (
    "explain analyze create table raw.mine as select 1",
    "select set_config('role', 'none', false)",
    "select set_config('work_mem', '1MB', false)",
    "select pg_advisory_lock(7)",
    "select pg_notify('mine', 'x')::text",
)
HARMLESS = (
    "select count(*) from tlc.green_tripdata",
    "from raw.files",
    "explain select * from raw.files",
    "explain analyze select * from raw.files",
    "explain select 1",
    "with a as (select 1 as n) select * from a",
    "show tables",
    "show all tables",
    "describe raw.files",
    "summarize raw.files",
    "pivot raw.files on dataset using count(*)",
    "pivot raw.files on dataset, status using count(*);",
    "values (1), (2)",
    "select * from range(3)",
    "select unnest([1, 2])",
    "pragma table_info('raw.files')",
    "from duckdb_settings()",
    "select 'read_text(' as \"say 'glob('\" -- glob('x')",
)
HARMLESS_ON_POSTGRES = (
    "select count(*) from raw.files",
    "table raw.files",
    "values (1), (2)",
    "with a as (select 1 as n) select * from a",
    "explain select * from raw.files",
    "explain analyze select * from raw.files",
    "show work_mem",
    "select 1 -- and a comment",
    "select 1;",
)


@pytest.fixture
def strangers(tmp_path: Path) -> Path:
    """A folder beside the warehouse that has nothing to do with it."""
    folder = tmp_path / "strangers"
    folder.mkdir()
    (folder / "secret.csv").write_text(f"{CANARY}\n1\n")
    return folder


def everything_below(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("raw", ["loaded", "in_place"])
def test_a_query_on_duckdb_reads_no_file_and_writes_nothing(
    raw: str, make_settings: MakeSettings, published: Path, strangers: Path, tally: Tally
) -> None:
    settings = make_settings(raw=raw, lake_url=str(published.parent / "it's a lake [1]"))
    publish(published, "green", JANUARY, trips("green", JANUARY))
    landed_and_loaded(settings)
    names = {
        "folder": strangers,
        "lake": str(published.parent / "it's a lake [1]").replace("'", "''"),
        "warehouse": settings.duckdb_path,
    }
    before = everything_below(published.parent)
    got_through = [a for a in ON_DUCKDB if _answer(settings, a.format(**names)) is not None]
    for sql in HARMLESS:
        with connect(settings, read_only=True) as session:
            assert session.read(sql).columns, sql
    assert everything_below(published.parent) == before
    tally(
        f"a query on DuckDB ({raw}) that would do more than read",
        times=len(ON_DUCKDB),
        silent=len(got_through),
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with postgres.server(tmp_path_factory.mktemp("postgres")) as variables:
        yield variables


@pytest.mark.parametrize("account", ["superuser", "owner"])
def test_a_query_on_postgres_reads_no_file_and_writes_nothing(
    account: str,
    server: dict[str, str],
    make_settings: MakeSettings,
    monkeypatch: pytest.MonkeyPatch,
    strangers: Path,
    tally: Tally,
) -> None:
    strangers.chmod(0o777)
    strangers.parent.chmod(0o755)
    with postgres.database(server) as variables, closing(postgres.connect(variables)) as other:
        cursor = other.cursor()
        cursor.execute("create schema raw; create table raw.files (n int); create role owner login")
        cursor.execute("insert into raw.files values (1); create sequence raw.counter")
        cursor.execute("create procedure raw.mine() language sql as 'delete from raw.files'")
        cursor.execute("grant all on schema raw to owner; grant owner to current_user")
        for what in ("table raw.files", "sequence raw.counter", "procedure raw.mine()"):
            cursor.execute(f"alter {what} owner to owner")
        postgres.give_password(variables, "owner")
        user = variables["PGUSER"] if account == "superuser" else "owner"
        for name, value in (variables | {"PGUSER": user}).items():
            monkeypatch.setenv(name, value)
        settings = make_settings(target="postgres")
        names = {"folder": strangers, "user": variables["PGUSER"], "pid": other.info.backend_pid}
        before = everything_below(strangers)
        try:
            got_through = [a for a in ON_POSTGRES if _answer(settings, a.format(**names))]
            for sql in PASSING_ON_POSTGRES:
                _answer(settings, sql)
            for sql in HARMLESS_ON_POSTGRES:
                assert _answer(settings, sql), sql
            cursor.execute("select n from raw.files")
            assert cursor.fetchall() == [(1,)]
            cursor.execute("select last_value, is_called from raw.counter")
            assert cursor.fetchall() == [(1, False)]
            cursor.execute("select count(*), to_regclass('raw.mine') from pg_largeobject_metadata")
            assert cursor.fetchall() == [(0, None)]
            cursor.execute("select pg_try_advisory_lock(7)")
            assert cursor.fetchall() == [(True,)]
        finally:
            monkeypatch.undo()
            cursor.execute("drop schema raw cascade; drop role owner")
    assert everything_below(strangers) == before
    tally(
        f"a query on PostgreSQL ({account}) that would do more than read",
        times=len(ON_POSTGRES),
        silent=len(got_through),
    )


def test_a_query_keeps_its_names_and_types_for_a_superuser(
    server: dict[str, str], make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (server | {"PGDATABASE": "postgres"}).items():
        monkeypatch.setenv(name, value)
    sql = (
        "select 1 as n, 2 as n, 1.50::numeric(6, 2) as price, date '2024-01-01' as day, null as x,"
        " array[1, 2] as numbers, '{\"a\": 1}'::jsonb as json -- and so on\n;"
    )
    with connect(make_settings(target="postgres"), read_only=True) as session:
        found = session.read(sql)
        assert found.columns == ["n", "n", "price", "day", "x", "numbers", "json"]
        row = (1, 2, Decimal("1.50"), date(2024, 1, 1), None, [1, 2], {"a": 1})
        assert found.rows == [row]
        # their columns are of domains
        schemas = session.read(
            "select schema_name from information_schema.schemata"
            " where schema_name like 'pg_c%' or schema_name = 'public' order by 1"
        )
        assert schemas.rows == [("pg_catalog",), ("public",)]


def _answer(settings: Settings, sql: str) -> str | None:
    """What a query gives, or none where it is refused in one line that tells no secret."""
    try:
        with connect(settings, read_only=True) as session:
            return str(session.read(sql))
    except WarehouseError as exc:
        reason = str(exc)
    assert CANARY not in reason
    assert "\n" not in reason
    return None


def test_every_package_of_the_lock_has_its_hash() -> None:
    lock = tomllib.loads((PROJECT_ROOT / "uv.lock").read_text())
    published = [p for p in lock["package"] if "registry" in p["source"]]
    assert len(published) > 100
    files = [f for p in published for f in (*p.get("wheels", ()), *filter(None, [p.get("sdist")]))]
    assert all(f["hash"].startswith("sha256:") for f in files)
