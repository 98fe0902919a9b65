"""A PostgreSQL that is reached with TLS only, and proves who it is: libpq's settings do it all.

The server takes nobody without TLS, so whatever works here is encrypted: dlt, dbt and our own.
"""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingestion.land import land
from tests.conftest import settings_in
from tests.e2e.conftest import Place
from tests.support.debian_postgres import Authority, DebianPostgres, authority, debian_postgres
from tests.support.trips import ZONES, publish, trips

pytestmark = pytest.mark.slow

JANUARY = dt.date(2024, 1, 1)


@pytest.fixture(scope="module")
def ca() -> Authority:
    return authority("the authority of this test")


@pytest.fixture(scope="module")
def server(ca: Authority) -> Iterator[DebianPostgres]:
    with debian_postgres(ca=ca) as running:
        yield running


@pytest.fixture
def place(tmp_path: Path, server: DebianPostgres) -> Iterator[Place]:
    """A place with a small month and a database, whose certificate is to be verified in full."""
    made = Place(tmp_path)
    publish(made.published, "green", JANUARY, trips("green", JANUARY))
    publish(made.published, "taxi_zone_lookup", None, ZONES)
    land(settings_in(tmp_path))
    with server.database() as variables:
        assert variables["PGSSLMODE"] == "verify-full"
        made.env |= variables | {"MEDALLION_TARGET": "postgres"}
        yield made


def count(server: DebianPostgres, place: Place, relation: str) -> int:
    ((rows,),) = server.query(f"select count(*) from {relation}", place.env["PGDATABASE"])
    return int(rows)


def test_the_whole_job_is_done_with_a_verified_server(place: Place, server: DebianPostgres) -> None:
    report = place.medallion_json("run", "--quiet", "--target", "postgres")
    assert report["faults"] == []
    assert report["ledger_balances"] is True
    assert count(server, place, "marts.fct_trips") == 20
    assert all(check["good"] for check in place.medallion_json("doctor"))


@pytest.fixture(scope="module")
def another_ca(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A certificate of somebody who has not signed the server's."""
    return str(authority("another").write(tmp_path_factory.mktemp("another") / "ca.pem"))


@pytest.fixture(scope="module")
def impostor(tmp_path_factory: pytest.TempPathFactory, ca: Authority) -> str:
    """The same, by the name of the one who has."""
    return str(authority(ca.name).write(tmp_path_factory.mktemp("impostor") / "ca.pem"))


def test_who_cannot_be_verified_is_refused_in_one_line_and_the_next_load_goes_on(
    place: Place, server: DebianPostgres, another_ca: str, impostor: str, tmp_path: Path
) -> None:
    right = dict(place.env)
    for wrong, reason in (
        ({"PGSSLROOTCERT": another_ca}, "certificate verify failed"),
        ({"PGSSLROOTCERT": impostor}, "SSL error"),
        ({"PGSSLROOTCERT": str(tmp_path / "none.pem")}, "none.pem"),
        # the same server, by a name that is not on its certificate
        ({"PGHOST": "127.0.0.1"}, 'does not match host name "127.0.0.1"'),
        ({"PGSSLMODE": "disable"}, "no encryption"),
    ):
        place.env = right | wrong
        assert reason in refused(place)
    made = "select count(*) from information_schema.schemata where schema_name in ('raw', 'tlc')"
    assert server.query(made, right["PGDATABASE"]) == [(0,)]
    place.env = right
    place.medallion("load", "--quiet")
    assert count(server, place, "tlc.green_tripdata") == 20


def refused(place: Place) -> str:
    """The one line that a load ends with, which names the server and no secret."""
    assert place.medallion("load", "--quiet", expect=1) == ""
    (line,) = place.last_stderr.splitlines()
    assert f"PostgreSQL at {place.env['PGHOST']}:{place.env['PGPORT']}" in line
    assert place.env["PGPASSWORD"] not in line
    return line


def test_dbt_by_itself_verifies_the_server_too(place: Place, another_ca: str) -> None:
    assert "All checks passed" in place.dbt("debug", "--target", "postgres")
    place.env["PGSSLROOTCERT"] = another_ca
    assert "certificate verify failed" in place.dbt("debug", "--target", "postgres", expect=1)


def test_without_a_name_to_verify_the_authority_is_enough(place: Place) -> None:
    """``verify-ca``, by address: what libpq's variables say holds, and nothing stricter.

    With it, libpq connects in no other way than encrypted.
    """
    place.env |= {"PGSSLMODE": "verify-ca", "PGHOST": "127.0.0.1"}
    query = ("query", "select 1 as one", "--format", "csv")
    assert place.medallion(*query).split() == ["one", "1"]
