"""Sources of the kind ``sql_database``: tables and queries of real databases, as Parquet files."""

import json
import re
import sqlite3
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from urllib.parse import quote, urlsplit

import duckdb
import psycopg2
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ingestion
from ingestion.errors import FetchError, UsageError
from ingestion.land import Outcome, land
from ingestion.load import load
from ingestion.settings import Settings
from ingestion.sources import registry
from ingestion.sources.base import Fetched, PublishedFile, Publisher
from ingestion.sources.kinds import kind_of
from ingestion.sources.sql_database.parquet import GROUP_ROWS, write
from ingestion.warehouse import connect
from orchestration.job.status import status
from tests.support.debian_postgres import DebianPostgres
from tests.support.declared import declare_source, settings_from
from tests.support.ports import free_port

HEAD = 'kind = "sql_database"\ncredentials = { env = "DISPATCH_DATABASE" }\n'
BASES = HEAD + '[datasets.bases]\ntable = "public.bases"\n'
DISPATCHES = """
[datasets.dispatches]
table = "dispatches"
cursor = "at"
first_month = "2024-01"
"""
JANUARY, FEBRUARY = date(2024, 1, 1), date(2024, 2, 1)
THIS_MONTH = datetime.now(UTC).date().replace(day=1)


class Dispatch:
    """A declared source, and what it publishes."""

    def __init__(self, publisher: Publisher, settings: Settings):
        self.publisher, self.settings = publisher, settings

    def items(self, *datasets: str, **months: date) -> list[PublishedFile]:
        return kind_of(self.publisher).discover(self.publisher, datasets, **months)

    def fetch(
        self, dataset: str, month: date | None = None, on_bytes: Callable[[int], None] = print
    ) -> Fetched | None:
        months = {"start": month, "end": month} if month else {}
        (item,) = self.items(dataset, **months)
        kind = kind_of(self.publisher)
        return kind.fetch(self.publisher, item, self.settings.spool_dir, on_bytes)

    def rows(self, dataset: str, month: date | None = None) -> pa.Table:
        fetched = self.fetch(dataset, month)
        assert fetched
        return pq.read_table(fetched.path)

    def fault(self, dataset: str, month: date | None = None) -> str:
        """Why it cannot be fetched: one line, which names the item and leaves nothing behind."""
        before = set(self.settings.spool_dir.glob("*"))
        with pytest.raises(FetchError) as raised:
            self.fetch(dataset, month)
        message = str(raised.value)
        item = f"{dataset} {month:%Y-%m}: " if month else f"{dataset}: "
        assert message.startswith(item)
        assert "\n" not in message
        assert raised.value.__cause__ is None  # a traceback would show what a driver says
        assert set(self.settings.spool_dir.glob("*")) <= before
        return message.removeprefix(item)


Declare = Callable[[str, str], Dispatch]


@pytest.fixture
def declare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Declare:
    """Declares a source with this ``source.toml``, for the database at a URL."""

    def declared(toml: str, url: str) -> Dispatch:
        monkeypatch.setenv("DISPATCH_DATABASE", url)
        return Dispatch(*_source(toml, tmp_path, monkeypatch))

    return declared


def _source(toml: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Publisher, Settings]:
    settings = settings_from(declare_source(folder, "dispatch", toml), monkeypatch)
    return settings.publisher(registry.sources()["dispatch"]), settings


@pytest.fixture
def postgres(variables: dict[str, str]) -> str:
    """The URL of a database of the test's own."""
    return _url(variables)


def _url(variables: dict[str, str]) -> str:
    user, password = variables["PGUSER"], quote(variables["PGPASSWORD"], safe="")
    where = f"{variables['PGHOST']}:{variables['PGPORT']}/{variables['PGDATABASE']}"
    return f"postgresql://{user}:{password}@{where}"


def execute(url: str, statements: str) -> None:
    connection = psycopg2.connect(url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(statements)
    connection.close()


ALL_TYPES = """
create type size as enum ('small', 'large');
create domain price as numeric(8, 2);
create table every_type (
    id bigint primary key, small smallint, number integer, amount numeric(12, 2),
    any_amount numeric, price price, ratio double precision, single real, at timestamp,
    at_zone timestamptz, day date, hour time, document json, binary_document jsonb,
    numbers integer[], moments timestamptz[], content bytea, is_open boolean, key uuid,
    name text, code char(4), size size
);
insert into every_type values
    (2, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null,
     null, null, null, null, null, null),
    (1, 2, 3, 1234567890.12, 0.123456789012345678, 9.50, 0.1, 0.5, '2024-01-31 23:59:59.999999',
     '2024-01-31 23:30:00-05', '2024-02-29', '23:59:59', '{"b": 1.10, "a": "x"}', '{"b": 1.10}',
     '{1,null,3}', '{"2024-01-31 23:30:00-05"}', '\\x00ff', true,
     'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', E'O''Hare\\nnorth', 'ab', 'large');
"""
AS_READ = {
    "id": (pa.int64(), 1),
    "small": (pa.int64(), 2),
    "number": (pa.int64(), 3),
    "amount": (pa.decimal128(12, 2), Decimal("1234567890.12")),
    "any_amount": (pa.decimal128(38, 18), Decimal("0.123456789012345678")),
    "price": (pa.decimal128(38, 18), Decimal("9.50")),  # SQLAlchemy gives no digits of a domain
    "ratio": (pa.float64(), 0.1),
    "single": (pa.float64(), 0.5),
    "at": (pa.timestamp("us"), datetime(2024, 1, 31, 23, 59, 59, 999999)),
    "at_zone": (pa.timestamp("us", "UTC"), datetime(2024, 2, 1, 4, 30, tzinfo=UTC)),
    "day": (pa.date32(), date(2024, 2, 29)),
    "hour": (pa.time64("us"), time(23, 59, 59)),
    "document": (pa.string(), '{"b": 1.10, "a": "x"}'),
    "binary_document": (pa.string(), '{"b": 1.10}'),
    "numbers": (pa.string(), "[1,null,3]"),
    "moments": (pa.string(), '["2024-02-01T04:30:00+00:00"]'),
    "content": (pa.binary(), b"\x00\xff"),
    "is_open": (pa.bool_(), True),
    "key": (pa.string(), "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    "name": (pa.string(), "O'Hare\nnorth"),
    "code": (pa.string(), "ab  "),
    "size": (pa.string(), "large"),
}


def test_every_type_of_postgres_keeps_its_values(declare: Declare, postgres: str) -> None:
    execute(postgres, ALL_TYPES)
    name = urlsplit(postgres).path.removeprefix("/")
    execute(postgres, f"alter database {name} set timezone = 'America/New_York'")
    toml = '[datasets.every_type]\ntable = "public.every_type"\n'
    toml += '[datasets.queried]\nquery = "select * from every_type order by id -- by its key"\n'
    dispatch = declare(HEAD + toml, postgres)
    table = dispatch.rows("every_type")
    assert dict(zip(table.column_names, table.schema.types, strict=True)) == {
        name: of_type for name, (of_type, _) in AS_READ.items()
    }
    assert table.slice(0, 1).to_pylist() == [{name: value for name, (_, value) in AS_READ.items()}]
    assert set(table.slice(1).to_pylist()[0].values()) == {2, None}
    assert dispatch.rows("queried").drop(["price"]).equals(table.drop(["price"]))


def test_types_of_sqlite(declare: Declare, tmp_path: Path) -> None:
    path = tmp_path / "dispatch.db"
    with sqlite3.connect(path) as connection:
        connection.executescript(
            "create table stands (id integer primary key, amount decimal(10, 2), at timestamp,"
            " day date, is_open boolean, content blob, document json, ratio real, name varchar(9));"
            "insert into stands values (1, 12.5, '2024-01-01 00:00:00', '2024-01-31', 1, x'00ff',"
            " '{\"a\": 1.10}', 0.1, 'Wall St'), (2, null, null, null, null, null, null, null, null)"
        )
    stands = '[datasets.stands]\ntable = "stands"\n'
    queried = (
        '[datasets.queried]\ncursor = "at"\nfirst_month = "2023-12"\n'
        'query = """select at, cast(amount * 2 as real) as twice, id + 1 as "next"'
        ' from stands where at is not null"""\nexclude_columns = ["next"]\n'
    )
    dispatch = declare(HEAD + stands + queried, f"sqlite:///{path}")
    assert dispatch.rows("stands").to_pylist()[0] == {
        "id": 1,
        "amount": Decimal("12.50"),
        "at": datetime(2024, 1, 1),
        "day": date(2024, 1, 31),
        "is_open": True,
        "content": b"\x00\xff",
        "document": '{"a": 1.10}',
        "ratio": 0.1,
        "name": "Wall St",
    }
    # midnight of the first belongs to the month that begins
    at_midnight = [{"at": datetime(2024, 1, 1), "twice": 25.0}]
    assert dispatch.rows("queried", JANUARY).to_pylist() == at_midnight
    assert "no row has its at in this month" in dispatch.fault("queried", date(2023, 12, 1))
    toml = (HEAD + stands + queried).replace('exclude_columns = ["next"]', "")
    assert "column next has a type that no Parquet type holds" in declare(
        toml, f"sqlite:///{path}"
    ).fault("queried", JANUARY)


def test_types_of_duckdb(declare: Declare, tmp_path: Path) -> None:
    path = tmp_path / "dispatch.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "create table stands as select 1::bigint as id, 12.50::decimal(10, 2) as amount,"
            " timestamp '2024-01-31 10:00:00' as at, [1, null] as numbers, '{\"a\": 1.10}'::json as"
            " document, timestamptz '2024-01-31 23:30:00-05' as at_zone, true as is_open,"
            " 'small'::enum('small', 'large') as size, '\\x00'::blob as content"
        )
    whole = '[datasets.stands]\ntable = "main.stands"\n'
    monthly = '[datasets.monthly]\ntable = "stands"\ncursor = "at"\nfirst_month = "2024-01"\n'
    queried = "[datasets.queried]\nquery = \"select id::text as id, 'a%:b' as code from stands\"\n"
    dispatch = declare(HEAD + whole + monthly + queried, f"duckdb:///{path}")
    assert dispatch.rows("stands").to_pylist() == [
        {
            "id": 1,
            "amount": Decimal("12.50"),
            "at": datetime(2024, 1, 31, 10),
            "numbers": "[1,null]",
            "document": '{"a": 1.10}',
            "at_zone": datetime(2024, 2, 1, 4, 30, tzinfo=UTC),
            "is_open": True,
            "size": "small",
            "content": b"\x00",
        }
    ]
    assert dispatch.rows("monthly", JANUARY).num_rows == 1
    row = {"id": "1", "code": "a%:b"}
    assert dispatch.rows("queried").to_pylist() == [row]


def test_only_a_changed_row_makes_a_new_version(declare: Declare, postgres: str) -> None:
    execute(
        postgres,
        "create table bases (name text, opened date, fleet jsonb);"
        "insert into bases values ('Wall St', '2024-01-01', '{\"cars\": 12}'), ('Red Hook', null,"
        " null), ('Red Hook', '2020-01-01', null)",
    )
    dispatch = declare(BASES, postgres)

    def landed() -> Outcome:
        (file,) = land(dispatch.settings, ["bases"]).files
        return file.outcome

    assert landed() == Outcome.NEW
    assert landed() == Outcome.SAME_CONTENT
    # PostgreSQL writes a row that is updated to another place
    execute(postgres, "update bases set name = name where name = 'Red Hook'")
    assert landed() == Outcome.SAME_CONTENT
    execute(postgres, "update bases set opened = '2020-01-02' where opened = '2020-01-01'")
    assert landed() == Outcome.REPUBLISHED
    assert landed() == Outcome.SAME_CONTENT


def test_the_same_rows_give_the_same_bytes_however_they_arrive(tmp_path: Path) -> None:
    notes = [None if i % 7 == 0 else "x" * (i % 1000) for i in range(200_000)]
    table = pa.table({"id": range(200_000), "note": pa.array(notes, pa.string())})

    def written(rows_at_once: int) -> Path:
        path = tmp_path / f"by_{rows_at_once}.parquet"
        tables = (table.slice(i, rows_at_once) for i in range(0, table.num_rows, rows_at_once))
        assert write(tables, table.schema, path, lambda _bytes: None) == table.num_rows
        return path

    first = written(200_000)
    assert pq.read_table(first).equals(table)
    groups = pq.ParquetFile(first).metadata
    # long texts end a row group before it has all its rows
    assert groups.row_group(0).num_rows < GROUP_ROWS
    assert groups.num_row_groups == 3
    for rows_at_once in (2_000, 7_777):
        assert written(rows_at_once).read_bytes() == first.read_bytes()


def test_a_cursor_divides_a_table_into_months(declare: Declare, postgres: str) -> None:
    execute(
        postgres,
        "create table dispatches (id integer primary key, at timestamptz not null);"
        "insert into dispatches values (1, '2024-01-01 00:00Z'), (2, '2024-01-31 23:59:59.9Z'),"
        " (3, '2024-01-31 20:00-05'), (4, '2023-12-31 23:59:59Z')",
    )
    dispatch = declare(HEAD + DISPATCHES, postgres)
    assert dispatch.rows("dispatches", JANUARY)["id"].to_pylist() == [1, 2]
    assert dispatch.rows("dispatches", FEBRUARY)["id"].to_pylist() == [3]
    assert dispatch.fault("dispatches", date(2024, 3, 1)) == (
        "no row has its at in this month, and the month ended more than 120 days ago."
    )
    assert dispatch.fetch("dispatches", THIS_MONTH) is None
    # without months, those that may still be revised
    months = [file.month for file in dispatch.items("dispatches")]
    assert len(months) == 3
    assert months[-1] == THIS_MONTH
    report = land(dispatch.settings, ["dispatches"], JANUARY, FEBRUARY)
    assert [f.outcome for f in report.files] == [Outcome.NEW, Outcome.NEW]
    report = land(dispatch.settings, ["dispatches"], THIS_MONTH)
    assert [f.outcome for f in report.files] == [Outcome.NOT_YET]


@pytest.mark.parametrize("of_type", ["date", "timestamp", "text"])
def test_a_cursor_is_a_day_a_time_or_iso_text(
    of_type: str, declare: Declare, postgres: str
) -> None:
    execute(
        postgres,
        f"create table dispatches (id integer, at {of_type} not null); insert into dispatches"
        " values (1, '2023-12-31'), (2, '2024-01-01'), (3, '2024-01-31'), (4, '2024-02-01')",
    )
    dispatch = declare(HEAD + DISPATCHES, postgres)
    assert dispatch.rows("dispatches", JANUARY)["id"].to_pylist() == [2, 3]


def test_a_row_that_belongs_to_no_month_is_not_lost_in_silence(
    declare: Declare, postgres: str
) -> None:
    execute(
        postgres,
        "create table dispatches (id integer, at timestamp);"
        "insert into dispatches values (1, '2024-01-01'), (2, null)",
    )
    dispatch = declare(HEAD + DISPATCHES, postgres)
    fault = dispatch.fault("dispatches", JANUARY)
    assert fault.startswith("rows without a value in at belong to no month")
    query = 'query = "select * from dispatches where at is not null"'
    dispatch = declare(HEAD + DISPATCHES.replace('table = "dispatches"', query), postgres)
    assert dispatch.rows("dispatches", JANUARY).num_rows == 1


def test_names_are_as_the_database_spells_them(declare: Declare, postgres: str) -> None:
    execute(
        postgres,
        'create schema "My ""own"" schema";'
        'create table "My ""own"" schema"."Trips, by.base%" ("Base Number" text primary key,'
        ' "select" integer, "a:b%s" text, "héllo" text);'
        'insert into "My ""own"" schema"."Trips, by.base%" values (\'B1\', 1, \'x\', \'y\')',
    )
    table = """
[datasets.trips_by_base]
schema = 'My "own" schema'
table = "Trips, by.base%"
exclude_columns = ["select"]
"""
    dispatch = declare(HEAD + table, postgres)
    assert dispatch.rows("trips_by_base").to_pylist() == [
        {"Base Number": "B1", "a:b%s": "x", "héllo": "y"}
    ]


def test_a_query_has_its_own_order_or_that_of_all_its_columns(
    declare: Declare, postgres: str
) -> None:
    ordered = '[datasets.ordered]\nquery = "select i, -i as j from numbers order by i desc;"\n'
    free = "[datasets.free]\nquery = \"select i % 2 as odd, i, '%:x' as t from numbers\"\n"
    execute(postgres, "create table numbers as select generate_series(1, 4) as i")
    dispatch = declare(HEAD + ordered + free, postgres)
    assert dispatch.rows("ordered")["i"].to_pylist() == [4, 3, 2, 1]
    rows = dispatch.rows("free")
    assert rows["i"].to_pylist() == [2, 4, 1, 3]
    assert set(rows["t"].to_pylist()) == {"%:x"}


@pytest.mark.parametrize(
    ("statements", "words"),
    [
        ("select 1", "there is no table bases in the schema public"),
        ("create table bases (id integer)", "it has no rows, and nothing does not replace"),
        (
            "create table bases (id integer, place point)",
            "column place has a type that no Parquet type holds: .*exclude_columns",
        ),
        (
            "create table bases (id integer, waited interval)",
            "column waited has a type that no Parquet type holds: interval; .*exclude_columns",
        ),
        ("create table bases (id integer, at timetz)", "column at is a time with a zone"),
        ("create table bases (sum numeric(50, 2))", "column sum is a decimal of 50 digits"),
        (
            "create table bases (sum numeric); insert into bases values ('NaN')",
            r"column sum holds a value that is no decimal128\(38, 18\): .*exclude_columns",
        ),
        (
            "create table bases (sum numeric); insert into bases values (1e-30)",
            r"column sum holds a value that is no decimal128\(38, 18\): .*exclude_columns",
        ),
        ("create view bases as select 1 / (random() * 0)::int as x", "division by zero"),
    ],
)
def test_a_table_that_cannot_be_read_is_told_in_a_line(
    statements: str, words: str, declare: Declare, postgres: str
) -> None:
    execute(postgres, statements)
    dispatch = declare(BASES, postgres)
    fault = dispatch.fault("bases")
    assert re.match(words, fault), fault


def test_a_column_that_is_gone_is_named(declare: Declare, postgres: str) -> None:
    execute(postgres, "create table dispatches (id integer, created_at timestamp)")
    dispatch = declare(HEAD + DISPATCHES, postgres)
    assert dispatch.fault("dispatches", JANUARY) == (
        "there is no column at, its cursor; its columns are id, created_at."
    )
    dispatch = declare(HEAD + DISPATCHES.replace('"at"', '"id"'), postgres)
    assert "the cursor id is integer; it must be a date" in dispatch.fault("dispatches", JANUARY)
    dispatch = declare(HEAD + DISPATCHES + 'exclude_columns = ["photo"]\n', postgres)
    assert "exclude_columns names photo" in dispatch.fault("dispatches", JANUARY)
    twice = '[datasets.twice]\nquery = "select 1 as a, 2 as a"\n'
    assert "there are two columns a" in declare(HEAD + twice, postgres).fault("twice")
    query = '[datasets.queried]\nquery = "select gone from dispatches"\n'
    assert 'column "gone" does not exist' in declare(HEAD + query, postgres).fault("queried")


def test_a_database_that_refuses_is_told_without_its_password(
    declare: Declare, postgres: str, server: DebianPostgres
) -> None:
    execute(postgres, "create table bases (id integer)")
    parts = urlsplit(postgres)
    role = server.role("a secret/word")
    url = f"postgresql://{role.name}:{quote(role.password, safe='')}@{parts.netloc.split('@')[1]}"
    name = parts.path.removeprefix("/")
    assert declare(BASES, f"{url}/{name}").fault("bases") == "permission denied for table bases."
    for wrong, words in [
        (url.replace("secret", "tedious"), "password authentication failed"),
        (f"postgresql://me:a%20secret@127.0.0.1:{free_port()}", "Connection refused"),
    ]:
        fault = declare(BASES, f"{wrong}/{name}").fault("bases")
        assert words in fault
        assert fault.startswith("cannot connect to postgresql://127.0.0.1:")
        assert fault.endswith("; its URL is in DISPATCH_DATABASE.")
        for word in ("secret", "tedious", role.name):
            assert word not in fault.replace(f'user "{role.name}"', "")


def test_a_connection_that_drops_in_the_middle(
    declare: Declare, postgres: str, server: DebianPostgres
) -> None:
    numbers = "select * from generate_series(1, 5000000) as id order by id"
    query = BASES.replace('table = "public.bases"', f'query = "{numbers}"')

    def drop(_bytes: int) -> None:
        server.query(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            f" where datname = '{urlsplit(postgres).path[1:]}'"
        )

    dispatch = declare(query, postgres)
    with pytest.raises(FetchError, match=r"^bases: .*(terminat|closed|lost)") as raised:
        dispatch.fetch("bases", on_bytes=drop)
    assert "\n" not in str(raised.value)
    assert not list(dispatch.settings.spool_dir.glob("*"))


def test_one_table_that_fails_does_not_keep_another_from_landing(
    declare: Declare, postgres: str
) -> None:
    execute(postgres, "create table dispatches as select 1 as id, timestamp '2024-01-01' as at")
    settings = declare(BASES + DISPATCHES, postgres).settings
    report = land(settings, ["bases", "dispatches"], JANUARY, JANUARY)
    assert {f.published.name: f.outcome for f in report.files} == {
        "bases": Outcome.FAILED,
        "dispatches 2024-01": Outcome.NEW,
    }


def test_a_database_file_that_is_gone_is_not_made_anew(declare: Declare, tmp_path: Path) -> None:
    for scheme in ("sqlite", "duckdb"):
        path = tmp_path / f"gone.{scheme}"
        dispatch = declare(BASES, f"{scheme}:///{path}")
        assert f"there is no database {path}" in dispatch.fault("bases")
        assert not path.exists()


def test_what_is_wrong_with_the_variable_is_wrong_usage(
    declare: Declare, monkeypatch: pytest.MonkeyPatch
) -> None:
    for url, words in [
        ("not a URL with secret", "DISPATCH_DATABASE holds no SQLAlchemy URL"),
        ("mysql+nothing://me:secret@h/d", "DISPATCH_DATABASE: the driver of mysql.nothing:// is"),
        ("mysql://me:secret@h/d", "the driver of mysql:// is not installed"),
        ("", "the environment variable DISPATCH_DATABASE is not set"),
    ]:
        dispatch = declare(BASES, url)
        with pytest.raises(UsageError, match=words) as raised:
            dispatch.items()
        assert "secret" not in str(raised.value)
    dispatch = declare(BASES, "postgresql://me:secret@h/d")
    monkeypatch.setitem(sys.modules, "adbc_driver_postgresql", None)
    with pytest.raises(UsageError, match=r"medallion\[sql\]"):
        dispatch.items()
    # declaring does not need the variable
    monkeypatch.delenv("DISPATCH_DATABASE")
    assert registry.datasets()["bases"].source == "dispatch"


def test_its_items_need_no_connection_and_show_no_password(declare: Declare) -> None:
    url = "postgresql+psycopg2://me:secret@db.example:5433/city?sslmode=require&sslpassword=secret"
    dispatch = declare(BASES + DISPATCHES, url)
    found = dispatch.items(start=JANUARY, end=FEBRUARY)
    assert [(f.name, f.url) for f in found] == [
        ("bases", "postgresql://db.example:5433/city?table=public.bases"),
        ("dispatches 2024-01", "postgresql://db.example:5433/city?month=2024-01&table=dispatches"),
        ("dispatches 2024-02", "postgresql://db.example:5433/city?month=2024-02&table=dispatches"),
    ]
    assert [f.name for f in dispatch.items("bases")] == ["bases"]
    (early,) = dispatch.items("dispatches", end=date(2023, 12, 1))
    assert early.error
    assert early.error.endswith("its first month is 2024-01.")
    assert [f.name for f in dispatch.items(end=date(2023, 12, 1))] == ["bases"]


def test_a_folder_may_stand_in_for_the_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "instead"
    folder.mkdir()
    for name in ("bases", "dispatches_2024-01"):
        pq.write_table(pa.table({"id": [1]}), folder / f"{name}.parquet")
    monkeypatch.setenv("MEDALLION_DISPATCH_URL", folder.as_uri())
    dispatch = Dispatch(*_source(BASES + DISPATCHES, tmp_path, monkeypatch))
    assert {f.name for f in dispatch.items()} == {"bases", "dispatches 2024-01"}
    assert dispatch.rows("bases").num_rows == 1
    monkeypatch.setenv("MEDALLION_DISPATCH_URL", "https://example.org")
    dispatch = Dispatch(*_source(BASES, tmp_path, monkeypatch))
    with pytest.raises(UsageError, match="MEDALLION_DISPATCH_URL may only name a folder"):
        dispatch.items()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (
            BASES.replace('{ env = "DISPATCH_DATABASE" }', '"postgresql://me:secret@h/d"'),
            "VARIABLE",
        ),
        (
            BASES.replace("DISPATCH_DATABASE", "postgresql://me:secret@h/d"),
            "credentials.env: it is",
        ),
        (BASES.replace("DISPATCH_", "MEDALLION_"), "credentials.env: .*use another name"),
        (BASES.replace("table", "tables"), "datasets.bases.*tables"),
        (BASES + 'query = "select 1"\n', "datasets.bases: give either table or query"),
        (BASES + 'cursor = "at"\n', "datasets.bases: give cursor and first_month, or neither"),
        (BASES + "lookback_months = 2\n", "lookback_months is for a dataset with a cursor"),
        (
            BASES.replace('table = "public.bases"', 'schema = "a"\nquery = "select 1"'),
            "schema belongs to table",
        ),
    ],
)
def test_what_is_declared_wrongly_is_told_by_file_and_key(
    wrong: str,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(Exception, match=f"dispatch/source.toml declares no source: .*{words}") as e:
        _source(wrong, tmp_path, monkeypatch)
    assert "secret" not in str(e.value)


def test_it_is_landed_loaded_and_read(declare: Declare, postgres: str) -> None:
    execute(
        postgres,
        'create table dispatches (id integer primary key, at timestamp not null, "Fare" numeric(8,'
        " 2), note text); insert into dispatches values (1, '2024-01-05 10:00', 12.50, 'x'),"
        " (2, '2024-02-05 10:00', null, null)",
    )
    columns = """required = ["id"]
[datasets.dispatches.columns]
id = "bigint"
at = "timestamp"
Fare = "double"
note = "text"
"""
    settings = declare(HEAD + DISPATCHES + columns, postgres).settings
    report = land(settings, ["dispatches"], JANUARY, FEBRUARY)
    assert [f.outcome for f in report.files] == [Outcome.NEW, Outcome.NEW]
    assert load(settings).failed == {}
    with connect(settings, read_only=True) as session:
        assert session.query(
            'select source_month, id, "at", fare, note from dispatch.dispatches order by id'
        ).rows == [
            (JANUARY, 1, datetime(2024, 1, 5, 10), 12.5, "x"),
            (FEBRUARY, 2, datetime(2024, 2, 5, 10), None, None),
        ]
        (kept,) = session.query(
            "select source_url, columns from raw.files where month = '2024-01-01'"
        ).rows
    # a database gives no fingerprint, so what was landed is not called stale
    shown = status(settings, ["dispatches"], JANUARY, FEBRUARY)
    assert {file.stale for file in shown.files} == {"transform"}
    assert kept[0].startswith("postgresql://127.0.0.1:")
    assert "@" not in kept[0]
    assert ["Fare", "decimal128(8, 2)"] in json.loads(kept[1])
    table = ingestion.dataset("dispatches", "2024-02", settings=settings).read_all()
    assert table.column("id").to_pylist() == [2]


def test_a_time_without_an_end_is_no_other_time(declare: Declare, postgres: str) -> None:
    execute(postgres, "create table bases (until date); insert into bases values ('infinity')")
    (file,) = land(declare(BASES, postgres).settings, ["bases"]).files
    assert file.outcome == Outcome.QUARANTINED
    assert "column until holds a time that no calendar reaches" in str(file.error)


def test_columns_that_are_not_declared_are_read_in_their_types(
    declare: Declare, postgres: str
) -> None:
    execute(postgres, ALL_TYPES)
    toml = HEAD + '[datasets.every_type]\ntable = "every_type"\n'
    settings = declare(toml, postgres).settings
    (file,) = land(settings, ["every_type"]).files
    assert file.outcome == Outcome.NEW
    assert load(settings).failed == {}
    names = ["amount", "any_amount", "at", "at_zone", "day", "document", "content", "is_open"]
    columns = ", ".join(f'"{name}"' for name in names)
    with connect(settings, read_only=True) as session:
        (row,) = session.query(f"select {columns} from dispatch.every_type where id = 1").rows
    assert row == tuple(AS_READ[name][1] for name in names)
