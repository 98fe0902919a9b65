"""The password of a PostgreSQL is libpq's affair: it is in nothing that a command says or leaves.

All that a command prints, every file below the place it works in (lake, work folder, home,
temporary files, what a killed process left), and the database itself are searched for it.
"""

import base64
import datetime as dt
import gzip
import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from psycopg2 import sql

from tests.e2e.conftest import WITHOUT_UNIT_TESTS, Place
from tests.support import processes
from tests.support.debian_postgres import DebianPostgres, Role, debian_postgres
from tests.support.trips import ZONES, publish, trips

pytestmark = pytest.mark.slow

JANUARY, FEBRUARY, MARCH, APRIL, MAY = (dt.date(2024, month, 1) for month in range(1, 6))
TARGET = ("--target", "postgres")
GZIP = b"\x1f\x8b"


def new_password() -> str:
    """Long, and with every character that some notation gives a meaning to.

    Whatever escapes those characters leaves the two ends as they are.
    """
    return secrets.token_hex(12) + " %41%'\"\\@:/#?&=;{{ 1 }} $HOME é" + secrets.token_hex(12)


def disguises(password: str) -> set[bytes]:
    """What gives a password away, however it is written: any of these in a text."""
    whole = password.encode()
    ends = {whole[:24], whole[-24:]}
    quoted = {quote(password, safe="").encode(), quote_plus(password).encode()}
    encoded = set()
    for before in range(3):  # base64 of it depends on what stands before
        text = base64.b64encode(b"\0" * before + whole)
        certain = text[(0, 2, 3)[before] : len(text) // 4 * 4 - 4]
        encoded |= {certain, certain.translate(bytes.maketrans(b"+/", b"-_"))}
    return ends | quoted | encoded | {whole.hex().encode()}


@dataclass
class Search:
    """What is not to be found, and where it was."""

    needles: set[bytes]

    def tells(self, content: bytes) -> bool:
        if content.startswith(GZIP):
            content = gzip.decompress(content)
        return any(needle in content for needle in self.needles)

    def files(self, folder: Path) -> list[str]:
        """The files that hold it, or are called by it."""
        found = sorted(path for path in folder.rglob("*") if path.is_file())
        assert found, f"nothing to search in {folder}"
        return [
            str(path.relative_to(folder))
            for path in found
            if self.tells(path.read_bytes()) or self.tells(str(path).encode())
        ]


@dataclass
class Night:
    """A place whose every command is overheard."""

    place: Place
    server: DebianPostgres
    role: Role
    wrong_password: str
    database: str
    said: dict[str, str] = field(default_factory=dict)

    @property
    def search(self) -> Search:
        return Search(disguises(self.role.password) | disguises(self.wrong_password))

    def does(self, run: Callable[..., str], *arguments: str, expect: int = 0) -> str:
        stdout = run(*arguments, expect=expect)
        self.said[f"{len(self.said)} {' '.join(arguments)}"] = stdout + self.place.last_stderr
        return stdout

    def assert_silent(self) -> None:
        """Fail with the names of what gives a password away."""
        search = self.search
        said = [command for command, text in self.said.items() if search.tells(text.encode())]
        assert said == []
        assert search.files(self.place.folder) == []
        assert not search.tells((self.server.folder / "log").read_bytes())
        dumped = self.server.dump(self.database)
        told = [line for line in dumped.splitlines() if search.tells(line)]
        assert told == []


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    """A first run that is good, as somebody who owns the database and nothing else."""
    place = Place(tmp_path_factory.mktemp("night"))
    (place.folder / "tmp").mkdir()
    publish(place.published, "green", JANUARY, trips("green", JANUARY))
    publish(place.published, "taxi_zone_lookup", None, ZONES)
    with debian_postgres() as server:
        role = server.role(new_password())
        with server.database(role) as variables:
            place.env |= variables | {
                "MEDALLION_TARGET": "postgres",
                "TMPDIR": str(place.folder / "tmp"),
            }
            made = Night(place, server, role, new_password(), variables["PGDATABASE"])
            report = json.loads(made.does(place.medallion, "run", *TARGET, "--json"))
            assert report["faults"] == []
            yield made


# --- that the search would find it ---------------------------------------------------------------


@pytest.mark.parametrize(
    "write",
    [
        lambda password: password.encode(),
        lambda password: json.dumps({"password": password}).encode(),
        lambda password: repr(password).encode(),
        lambda password: f"postgresql://owner:{quote(password, safe='')}@localhost/db".encode(),
        lambda password: quote_plus(password).encode(),
        lambda password: password.replace("\\", "\\\\").replace("'", "''").encode(),
        lambda password: password.encode().hex().encode(),
        lambda password: gzip.compress(f"password={password}".encode()),
        lambda password: base64.b64encode(password.encode()),
        lambda password: base64.b64encode(f"x:{password}".encode()),
        lambda password: base64.urlsafe_b64encode(f"owner:{password}, and so on".encode()),
    ],
    ids=[
        *("plain", "JSON", "Python", "URL", "form", "SQL", "hex", "gzip"),
        *("base64", "base64 within", "base64url"),
    ],
)
def test_the_search_finds_a_password_that_is_there(
    write: Callable[[str], bytes], tmp_path: Path
) -> None:
    password = new_password()
    search = Search(disguises(password))
    deep = tmp_path / "work" / "dlt"
    deep.mkdir(parents=True)
    (deep / "innocent").write_bytes(write(new_password()))
    assert search.files(tmp_path) == []
    (deep / "guilty").write_bytes(b"before " * (write(password)[:2] != GZIP) + write(password))
    assert search.files(tmp_path) == ["work/dlt/guilty"]


def test_the_search_finds_a_password_in_all_that_is_searched(night: Night) -> None:
    night.assert_silent()
    planted = night.place.folder / "work" / "planted"
    planted.write_text(f"PGPASSWORD={night.role.password}")
    with pytest.raises(AssertionError, match="work/planted"):
        night.assert_silent()
    planted.unlink()
    night.said["planted"] = night.role.password
    with pytest.raises(AssertionError, match="planted"):
        night.assert_silent()
    del night.said["planted"]
    with night.server.connect(night.database) as connection, connection.cursor() as cursor:
        cursor.execute("create table raw.planted as select %s as a", [night.role.password])
        with pytest.raises(AssertionError):
            night.assert_silent()
        cursor.execute("drop table raw.planted")
    night.assert_silent()


# --- that it is not there ------------------------------------------------------------------------


def test_no_command_tells(night: Night) -> None:
    does, place = night.does, night.place
    does(place.medallion, "doctor", *TARGET)
    does(place.medallion, "doctor", *TARGET, "--json")
    does(place.medallion, "status", *TARGET)
    assert does(place.medallion, "query", "select count(*) from marts.fct_trips", *TARGET)
    # the reason of a query that is wrong
    does(place.medallion, "query", "select nothing from nowhere", *TARGET, expect=2)
    does(place.run, "ingestion")
    assert "ERROR=0" in does(place.dbt, "build", *WITHOUT_UNIT_TESTS, *TARGET)
    night.assert_silent()


def test_a_wrong_password_is_not_told_either(night: Night) -> None:
    """It is often the right one of another place."""
    place = night.place
    place.env["PGPASSWORD"] = night.wrong_password
    try:
        night.does(place.medallion, "run", *TARGET, expect=1)
        assert "password authentication failed" in place.last_stderr
        night.does(place.medallion, "doctor", *TARGET, "--json", expect=1)
        night.does(place.medallion, "status", *TARGET, expect=1)
        night.does(place.dbt, "debug", *TARGET, expect=1)
    finally:
        place.env["PGPASSWORD"] = night.role.password
    night.assert_silent()


def test_a_run_that_fails_in_the_middle_tells_nothing(night: Night) -> None:
    place, server = night.place, night.server
    publish(place.published, "green", FEBRUARY, trips("green", FEBRUARY))
    publish(place.published, "green", MARCH, trips("green", MARCH, rows=2))
    server.query(
        "create function refuse() returns event_trigger language plpgsql as $$ begin"
        """ if current_query() like '%"app": "dbt"%' then raise 'not at night'; end if;"""
        " if current_query() like '%create table%green_tripdata_2024_03%' then"
        " raise 'not this month'; end if; end $$;"
        " create event trigger refuse on ddl_command_start execute function refuse()",
        night.database,
    )
    try:
        night.does(place.medallion, "run", *TARGET, expect=1)
    finally:
        server.query("drop event trigger refuse; drop function refuse", night.database)
    # the server has refused one file, and dbt
    assert "not this month" in place.last_stderr
    assert "not at night" in place.last_stderr
    night.assert_silent()
    publish(place.published, "green", MARCH, trips("green", MARCH))


def test_what_a_killed_load_leaves_tells_nothing(night: Night) -> None:
    """dlt's working folder is gone after a load, so one is killed while it is there."""
    place = night.place
    publish(place.published, "green", APRIL, trips("green", APRIL))
    night.does(place.medallion, "land")
    with night.server.connect(night.database) as holder, holder.cursor() as cursor:
        cursor.execute("begin; lock table raw.files in share mode")
        loading = place.start("orchestration.cli", "load", *TARGET)
        processes.wait_until(
            lambda: night.server.query(
                "select 1 from pg_stat_activity where wait_event_type = 'Lock'"
            )
        )
        loading.kill()
        stdout, stderr = loading.communicate()
        cursor.execute("rollback")
    night.said["killed"] = stdout + stderr
    left = [path.name for path in (place.folder / "work" / "dlt").rglob("*") if path.is_file()]
    assert "state.json" in left, left
    night.assert_silent()
    report = json.loads(night.does(place.medallion, "load", *TARGET, "--json"))
    assert any(loaded["table"].startswith("green_tripdata_2024_04") for loaded in report)


def test_a_password_file_serves_as_well(night: Night, tmp_path: Path) -> None:
    """libpq's own, for dlt's connections and for dbt's; nothing copies from it."""
    place = night.place
    escaped = night.role.password.replace("\\", "\\\\").replace(":", "\\:")
    file = tmp_path / "passwords"
    file.write_text(f"*:*:*:{night.role.name}:{escaped}\n")
    file.chmod(0o600)
    del place.env["PGPASSWORD"]
    place.env["PGPASSFILE"] = str(file)
    try:
        publish(place.published, "green", MAY, trips("green", MAY))
        night.does(place.run, "ingestion")
        assert "green 2024-05: loaded" in place.last_stderr
        assert "All checks passed" in night.does(place.dbt, "debug", *TARGET)
    finally:
        del place.env["PGPASSFILE"]
        place.env["PGPASSWORD"] = night.role.password
    night.assert_silent()


def test_a_password_is_changed_as_the_page_says(night: Night) -> None:
    """Last in this file: the others know the first one."""
    new = new_password()
    night.server.query(
        sql.SQL("alter role {} password {}").format(
            sql.Identifier(night.role.name), sql.Literal(new)
        )
    )
    night.does(night.place.medallion, "run", *TARGET, "--quiet", expect=1)
    assert "password authentication failed" in night.place.last_stderr
    night.place.env["PGPASSWORD"] = new
    night.does(night.place.medallion, "doctor", *TARGET)
    night.does(night.place.medallion, "run", *TARGET, "--quiet")
