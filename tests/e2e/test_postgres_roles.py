"""Least privilege on PostgreSQL: each role does its part, and cannot do what is not its part."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date
from typing import Any
from uuid import uuid4

import psycopg2
import pytest
from mcp import Client
from mcp_types import CallToolResult

from tests.e2e.conftest import Place
from tests.support import postgres
from tests.support.assistants import over_stdio, talk, text_of
from tests.support.processes import wait_until
from tests.support.trips import ZONES, publish, trips

pytestmark = pytest.mark.slow

JANUARY, FEBRUARY = date(2024, 1, 1), date(2024, 2, 1)
TARGET = ("--target", "postgres")


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A place with two months built by an administrator first, and the roles set up afterwards."""
    place = Place(tmp_path_factory.mktemp("team"))
    for month in (JANUARY, FEBRUARY):
        publish(place.published, "green", month, trips("green", month))
    publish(place.published, "taxi_zone_lookup", None, ZONES)
    prefix = f"t{uuid4().hex[:8]}"
    with (
        postgres.server(tmp_path_factory.mktemp("postgres")) as server,
        postgres.database(server) as variables,
    ):
        place.env |= variables
        place.medallion("run", "--quiet", *TARGET)
        execute(place, f"create role {prefix}_intern login")
        execute(place, f"grant usage on schema marts to {prefix}_intern")
        execute(place, f"grant select on all tables in schema marts to {prefix}_intern")
        place.env["MEDALLION_POSTGRES_ROLES"] = prefix
        place.medallion("setup-postgres")
        yield place
        drop_roles(place, prefix, "loader", "transformer", "reader", "intern")


def drop_roles(place: Place, prefix: str, *names: str) -> None:
    """Leave the server as it was: roles are not of one database only."""
    for name in names:
        execute(place, f"drop owned by {prefix}_{name} cascade")
        execute(place, f"drop role {prefix}_{name}")


def execute(place: Place, sql: str, role: str = "") -> list[tuple[Any, ...]]:
    """Run a statement as one of the roles, or as the administrator."""
    connection = postgres.connect(place.env)
    try:
        with connection.cursor() as cursor:
            if role:
                cursor.execute(
                    f"set session authorization {place.env['MEDALLION_POSTGRES_ROLES']}_{role}"
                )
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def raw_table(place: Place) -> str:
    ((name,),) = execute(
        place,
        "select table_name from raw.files where dataset = 'green' and is_current"
        " order by month limit 1",
    )
    return str(name)


@pytest.mark.parametrize(
    ("role", "sql"),
    [
        ("loader", "select * from marts.ledger"),
        ("loader", "create table marts.mine (a int)"),
        ("loader", "select * from staging.stg_tlc__files"),
        ("loader", "create schema more"),
        ("loader", "create table public.mine (a int)"),
        ("transformer", "delete from raw.files"),
        ("transformer", "drop table raw.{table}"),
        ("transformer", "create table raw.mine (a int)"),
        ("transformer", "create or replace view tlc.green_tripdata as select 1 as a"),
        ("transformer", "create schema more"),
        ("reader", "select * from raw.{table}"),
        ("reader", "select * from raw.files"),
        ("reader", "select * from tlc.green_tripdata"),
        ("reader", "select * from staging.vendors"),
        ("reader", "select * from intermediate.month_builds"),
        ("reader", "delete from marts.ledger"),
        ("reader", "create table marts.mine (a int)"),
        ("reader", "create temporary table mine (a int)"),
        ("intern", "select * from marts.ledger"),
        ("intern", "select * from raw.files"),
    ],
)
def test_what_a_role_must_not_do_it_cannot(team: Place, role: str, sql: str) -> None:
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        execute(team, sql.format(table=raw_table(team)), role)


def test_nobody_else_may_connect(team: Place) -> None:
    intern = f"{team.env['MEDALLION_POSTGRES_ROLES']}_intern"
    may = f"select has_database_privilege('{intern}', current_database(), 'connect')"
    assert execute(team, may) == [(False,)]


@contextmanager
def logged_in_as(place: Place, role: str) -> Iterator[None]:
    """Let the commands log in as somebody else for a while."""
    administrator = dict(place.env)
    postgres.give_password(administrator, role)
    place.env["PGUSER"] = role
    try:
        yield
    finally:
        place.env = administrator


def test_each_role_does_its_part_after_a_republication(team: Place) -> None:
    publish(team.published, "green", JANUARY, trips("green", JANUARY, seed=1))
    prefix = team.env["MEDALLION_POSTGRES_ROLES"]
    with logged_in_as(team, f"{prefix}_loader"):
        team.medallion("land", "--quiet", *TARGET)
        assert len(team.medallion_json("load", "--quiet", *TARGET)) == 1
        team.medallion("transform", "--quiet", *TARGET, expect=1)
        assert "Traceback" not in team.last_stderr
    execute(team, f"grant select on all tables in schema marts to {prefix}_intern")
    with logged_in_as(team, f"{prefix}_transformer"):
        team.medallion("transform", "--quiet", *TARGET)
        kept = (
            "select table_name from information_schema.role_table_grants"
            f" where table_schema = 'marts' and grantee = '{prefix}_intern'"
        )
        assert execute(team, kept) == []  # of every mart, built anew or month by month
        assert team.medallion_json("audit", *TARGET)["unbalanced"] == []
    with logged_in_as(team, f"{prefix}_reader"):
        count = "select count(*) as trips from marts.fct_trips"
        found = team.medallion("query", count, *TARGET, "--format", "csv").split()
        assert found[0] == "trips"
        assert int(found[1]) > 0


def test_a_login_that_has_the_roles_runs_the_whole_job_as_them(team: Place) -> None:
    report = team.medallion_json("run", "--full-refresh", "--quiet", *TARGET)
    assert report["faults"] == []
    prefix = team.env["MEDALLION_POSTGRES_ROLES"]
    owners = execute(
        team,
        f"select distinct schemaname, replace(tableowner, '{prefix}_', '') from pg_tables"
        " where schemaname in ('raw', 'staging', 'intermediate', 'marts') order by 1",
    )
    assert owners == [
        ("intermediate", "transformer"),
        ("marts", "transformer"),
        ("raw", "loader"),
        ("staging", "transformer"),
    ]
    # every mart, made anew or not, is the reader's to select, and nobody else's
    grantees = execute(
        team,
        "select c.relname, array_agg(distinct a.grantee::regrole::text)"
        " from pg_class as c, aclexplode(c.relacl) as a"
        " where c.relnamespace = 'marts'::regnamespace and c.relkind in ('r', 'p') group by 1",
    )
    assert len(grantees) >= 12
    for mart, roles in grantees:
        assert set(roles) <= {f"{prefix}_transformer", f"{prefix}_reader"}, mart
        assert f"{prefix}_reader" in roles, mart


def relations(place: Place) -> list[tuple[Any, ...]]:
    """Every relation of the warehouse, and who owns it."""
    return execute(
        place,
        "select c.oid, c.relname, c.relowner::regrole::text from pg_class as c where"
        " c.relnamespace::regnamespace::text in"
        " ('raw', 'tlc', 'staging', 'intermediate', 'marts') order by 1",
    )


@pytest.mark.parametrize("said", ["", "others"])
def test_who_forgets_the_roles_is_refused_before_anything_is_written(
    team: Place, said: str
) -> None:
    """What a superuser made there would be in the way of every run that comes after."""
    publish(team.published, "green", FEBRUARY, trips("green", FEBRUARY, seed=7))
    prefix = team.env["MEDALLION_POSTGRES_ROLES"]
    name_the_setting = f"Set MEDALLION_POSTGRES_ROLES={prefix}."
    before, landed = relations(team), sorted(team.lake.rglob("*"))
    team.env["MEDALLION_POSTGRES_ROLES"] = said
    try:
        team.medallion("run", *TARGET, expect=2)
        (line,) = [text for text in team.last_stderr.splitlines() if "error" in text]
        assert name_the_setting in line
        team.env["MEDALLION_TARGET"] = "postgres"
        team.run("ingestion", expect=2)
        assert name_the_setting in team.last_stderr
        assert len(team.last_stderr.splitlines()) == 1
        assert sorted(team.lake.rglob("*")) == landed
        if not said:  # of roles that are not there, the server says so
            team.medallion("land", "--quiet")
            for verb in ("load", "transform"):
                team.medallion(verb, "--quiet", expect=2)
                assert name_the_setting in team.last_stderr, verb
            assert name_the_setting in team.dbt("build", expect=2).replace("\n", " ")
    finally:
        del team.env["MEDALLION_TARGET"]
        team.env["MEDALLION_POSTGRES_ROLES"] = prefix
    assert relations(team) == before
    assert team.medallion_json("run", "--quiet", *TARGET)["faults"] == []


def test_a_login_that_was_not_granted_the_roles_is_told_so(team: Place) -> None:
    prefix, login = team.env["MEDALLION_POSTGRES_ROLES"], f"n{uuid4().hex[:8]}"
    execute(team, f"create role {login} login")
    execute(team, f"grant {prefix}_reader to {login}")
    try:
        with logged_in_as(team, login):
            team.medallion("load", "--quiet", *TARGET, expect=1)
            assert f"grant {prefix}_loader to" in team.last_stderr
            detail = warehouse_check(team)
            both = f"{prefix}_loader, {prefix}_transformer"
            assert f"{login} may not act as {both}: grant {both} to {login}." in detail
        execute(team, f"grant {both} to {login}; alter role {login} connection limit 3")
        with logged_in_as(team, login):
            assert f"the connection limit 3 of role {login} leaves" in warehouse_check(team)
        execute(team, f"alter role {login} connection limit 50")
        with logged_in_as(team, login):
            assert "versions in it" in warehouse_check(team, good=True)
        team.env["MEDALLION_POSTGRES_ROLES"] = ""
        with logged_in_as(team, login):
            assert f"Set MEDALLION_POSTGRES_ROLES={prefix}." in warehouse_check(team)
    finally:
        team.env["MEDALLION_POSTGRES_ROLES"] = prefix
        execute(team, f"drop role {login}")


def warehouse_check(place: Place, good: bool = False) -> str:
    """What doctor says of the warehouse."""
    checks = place.medallion_json("doctor", *TARGET, expect=0 if good else 1)
    (found,) = [check for check in checks if check["name"] == "warehouse"]
    assert found["good"] is good
    return str(found["detail"])


def test_the_sql_is_shown_and_changes_nothing(team: Place) -> None:
    sql = team.medallion("setup-postgres", "--dry-run", "--prefix", "others")
    assert "create role others_loader login" in sql
    assert execute(team, "select to_regrole('others_loader')") == [(None,)]


def test_setting_up_again_changes_nothing(team: Place) -> None:
    def privileges() -> list[tuple[Any, ...]]:
        return execute(
            team,
            "select c.oid::regclass::text, c.relowner::regrole::text, c.relacl::text"
            " from pg_class as c where relnamespace::regnamespace::text in"
            " ('raw', 'tlc', 'staging', 'intermediate', 'marts') union all"
            " select nspname, nspowner::regrole::text, nspacl::text from pg_namespace"
            " union all select datname, datdba::regrole::text, datacl::text from pg_database"
            " where datname = current_database() order by 1",
        )

    team.medallion("setup-postgres")
    before = privileges()
    team.medallion("setup-postgres")
    assert privileges() == before


def test_a_role_that_can_do_more_is_refused(team: Place) -> None:
    prefix = f"p{uuid4().hex[:8]}"
    execute(team, f"create role {prefix}_reader login createrole")
    try:
        team.medallion("setup-postgres", "--prefix", prefix, expect=1)
        assert f"{prefix}_reader can do more" in team.last_stderr
        assert execute(team, f"select to_regrole('{prefix}_loader')") == [(None,)]
    finally:
        execute(team, f"drop role {prefix}_reader")


@pytest.mark.parametrize(
    ("command", "unseen"),
    [("status", "the schema raw"), ("prune", "intermediate.month_builds")],
)
def test_what_a_reader_may_not_see_is_not_said_to_be_missing(
    team: Place, command: str, unseen: str
) -> None:
    with logged_in_as(team, f"{team.env['MEDALLION_POSTGRES_ROLES']}_reader"):
        team.medallion(command, *TARGET, expect=1)
    assert f"may not see {unseen}" in team.last_stderr


def test_an_assistant_of_a_reader_is_answered_from_the_marts(team: Place) -> None:
    reader = f"{team.env['MEDALLION_POSTGRES_ROLES']}_reader"
    asked = (
        ("ask", {"sql": "select count(*) as n from marts.fct_trips where service = 'green'"}),
        ("trust", {"datasets": ["green"]}),
        ("ask", {"sql": "select * from raw.files"}),
        ("ask", {"sql": "select pg_sleep(60)"}),
        ("ask", {"sql": "copy (select 1) to program 'touch /tmp/mine'"}),
    )

    async def work(client: Client) -> list[CallToolResult]:
        return [await client.call_tool(name, arguments) for name, arguments in asked]

    with logged_in_as(team, reader):
        process = over_stdio(team.environment(), *TARGET, "--seconds", "1")
        counted, trusted, *refused = talk(process, work)
    facts = execute(team, "select count(*) from marts.fct_trips where service = 'green'")
    assert counted.structured_content["rows"] == [list(facts[0])]
    proof = counted.structured_content["proof"]
    assert (proof["source"], proof["covers"]) == ("the warehouse", "green")
    assert proof["run"] is None  # the reader may not see the runs
    assert proof["ledger_balances"]
    assert len(trusted.structured_content["ledger"]) == 2
    assert all(result.is_error for result in refused)
    hidden, slow, _ = map(text_of, refused)
    assert "permission denied" in hidden
    assert "took more than 1 seconds" in slow


def test_no_answer_has_the_proof_of_months_that_changed_meanwhile(team: Place) -> None:
    sql = "select pg_sleep(3)::text, count(*) from marts.fct_trips"
    change = "update marts.ledger set file_rows = file_rows {} 1"

    async def work(client: Client) -> CallToolResult:
        return await client.call_tool("ask", {"sql": sql})

    with ThreadPoolExecutor(1) as beside:
        asked = beside.submit(talk, over_stdio(team.environment(), *TARGET), work)
        wait_until(
            lambda: execute(team, "select 1 from pg_stat_activity where wait_event = 'PgSleep'")
        )
        execute(team, change.format("+"))
        assert "A run has changed these months meanwhile" in text_of(asked.result())
    execute(team, change.format("-"))


def test_prune_drops_nothing_for_who_may_not_see_what_the_facts_were_built_from(
    team: Place,
) -> None:
    with logged_in_as(team, f"{team.env['MEDALLION_POSTGRES_ROLES']}_loader"):
        team.medallion("prune", "--older-than", "0", *TARGET, expect=1)
    assert "may not see intermediate.month_builds" in team.last_stderr


def test_a_role_that_is_a_member_of_another_is_refused(team: Place) -> None:
    prefix = f"m{uuid4().hex[:8]}"
    execute(team, f"create role {prefix}_reader login")
    execute(team, f"grant pg_read_all_data to {prefix}_reader")
    try:
        team.medallion("setup-postgres", "--prefix", prefix, expect=1)
        assert f"{prefix}_reader can do more" in team.last_stderr
    finally:
        execute(team, f"drop role {prefix}_reader")


def test_what_a_role_was_given_by_hand_is_taken_from_it(team: Place) -> None:
    reader = f"{team.env['MEDALLION_POSTGRES_ROLES']}_reader"
    execute(team, f"grant usage, create on schema raw to {reader} with grant option")
    execute(team, f"grant all on all tables in schema raw, marts to {reader}")
    team.medallion("setup-postgres")
    for forbidden in ("select * from raw.files", "delete from marts.ledger"):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            execute(team, forbidden, "reader")
    assert execute(team, "select count(*) > 0 from marts.ledger", "reader") == [(True,)]


def test_a_login_that_may_make_databases_makes_an_edition(team: Place) -> None:
    """It is a member of the roles, and may not make others so."""
    prefix = team.env["MEDALLION_POSTGRES_ROLES"]
    login = f"l{uuid4().hex[:8]}"
    execute(team, f"create role {login} login createdb")
    execute(team, f"grant {prefix}_loader, {prefix}_transformer to {login}")
    try:
        with logged_in_as(team, login):
            command = ("run", "--sample", "--dataset", "green", "--quiet", *TARGET)
            assert team.medallion_json(*command)["faults"] == []
    finally:
        execute(team, f"drop database if exists {team.env['PGDATABASE']}_sample with (force)")
        execute(team, f"drop role {login}")


def test_a_prefix_that_is_no_plain_name_is_wrong_usage(team: Place) -> None:
    team.medallion("setup-postgres", "--prefix", 'x"; drop', expect=2)


def test_an_owner_who_is_no_superuser_can_set_up(team: Place) -> None:
    """As on servers that somebody else runs, where nobody gets a superuser."""
    prefix = f"o{uuid4().hex[:8]}"
    owner = f"{prefix}_owner"
    execute(team, f"create role {owner} login createrole createdb")
    try:
        with logged_in_as(team, owner):
            team.env["MEDALLION_POSTGRES_ROLES"] = prefix
            team.medallion("setup-postgres", "--sample")
            report = team.medallion_json(
                "run", "--sample", "--dataset", "green", "--quiet", *TARGET
            )
            assert report["faults"] == []
    finally:
        execute(team, f"drop database if exists {team.env['PGDATABASE']}_sample with (force)")
        drop_roles(team, prefix, "loader", "transformer", "reader", "owner")


def test_an_edition_whose_making_was_cut_short_gets_its_roles(team: Place) -> None:
    edition = f"{team.env['PGDATABASE']}_sample"
    prefix = team.env["MEDALLION_POSTGRES_ROLES"]
    execute(team, f"create database {edition}")  # and no more, as a kill just then leaves it
    try:
        with logged_in_as(team, f"{prefix}_loader"):
            team.medallion("load", "--sample", "--quiet", *TARGET, expect=1)
            (line,) = team.last_stderr.splitlines()
            assert f"Cannot give {prefix}_loader" in line
        team.medallion("load", "--sample", "--quiet", *TARGET)
        made = Place(team.folder, team.env | {"PGDATABASE": edition})
        assert execute(made, "select 1 from raw.files limit 0", "loader") == []
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            execute(made, "select count(*) from raw.files", "reader")
    finally:
        execute(team, f"drop database {edition} with (force)")
