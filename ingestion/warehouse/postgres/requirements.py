"""What a run needs of a PostgreSQL besides a connection, checked before a run fails without it."""

from collections.abc import Iterator

from ingestion.warehouse.postgres.roles import BUILT, Roles, loaded_schemas
from ingestion.warehouse.postgres.session import PostgresSession

# dbt's threads in profiles.yml, and its own connection
DBT_CONNECTIONS = 5
# the lock of a run, the session that loads, and dlt's own
LOAD_CONNECTIONS = 4

# Each limit on connections, with the number that this account still has free.
FREE_CONNECTIONS = """
with taken as (
    select datname, usename from pg_stat_activity
    where datid is not null and pid <> pg_backend_pid()
),

limits as (
    select
        'max_connections=' || current_setting('max_connections') as what,
        current_setting('max_connections')::int
        - case when rolsuper then 0 else
            current_setting('superuser_reserved_connections')::int
            + coalesce(current_setting('reserved_connections', true), '0')::int
        end
        - (select count(*) from taken) as free
    from pg_roles where rolname = session_user
    union all
    select
        format('the connection limit %s of role %s', rolconnlimit, rolname),
        rolconnlimit - (select count(*) from taken where usename = session_user)
    from pg_roles where rolname = session_user and rolconnlimit >= 0 and not rolsuper
    union all
    select
        format('the connection limit %s of database %s', datconnlimit, datname),
        datconnlimit - (select count(*) from taken where taken.datname = current_database())
    from pg_database where datname = current_database() and datconnlimit >= 0
)

select what, free from limits order by free limit 1
"""


def lacks(session: PostgresSession, roles: Roles | None, loads_at_once: int) -> Iterator[str]:
    """What a run would lack: for each, one sentence that also says what to do."""
    yield from _read_only(session)
    needed = max(loads_at_once + LOAD_CONNECTIONS, DBT_CONNECTIONS + 1)
    ((what, free),) = session.query(FREE_CONNECTIONS).rows
    if free < needed:
        yield (
            f"{what} leaves {max(free, 0)} connections free, and a run needs up to {needed}: raise"
            " it, or let others go."
        )
    yield from (_roles(session, roles) if roles else _rights(session))


def _read_only(session: PostgresSession) -> Iterator[str]:
    # the session's own value, from before we made it read-only ourselves
    rows = session.query(
        "select pg_is_in_recovery(), (select reset_val from pg_settings"
        " where name = 'default_transaction_read_only') = 'on'"
    ).rows
    ((standby, read_only),) = rows
    if standby:
        yield "The server is a standby, which can only be read: name the primary by PGHOST."
    elif read_only:
        yield (
            "default_transaction_read_only is on for this server, database or role: nothing can be"
            " written until it is reset."
        )


def _roles(session: PostgresSession, roles: Roles) -> Iterator[str]:
    # since PostgreSQL 16 a member of a role may lack the right to act as the role
    how = "set" if session.connection.server_version >= 160000 else "member"
    found = dict(
        session.query(
            "select rolname, pg_has_role(rolname, ?) from pg_roles where rolname in (?, ?)",
            [how, roles.loader, roles.transformer],
        ).rows
    )
    ((login,),) = session.query("select session_user::text").rows
    missing = [role for role in (roles.loader, roles.transformer) if role not in found]
    denied = [role for role, may in sorted(found.items()) if not may]
    if missing:
        yield f"There is no role {' or '.join(missing)}: run medallion setup-postgres."
    if denied:
        names = ", ".join(denied)
        yield f"{login} may not act as {names}: grant {names} to {login}."
    for owner, schemas in ((roles.loader, loaded_schemas()), (roles.transformer, BUILT)):
        marks = ", ".join("?" for _ in schemas)
        theirs = session.query(
            f"select nspname from pg_namespace where nspname in ({marks})"
            " and nspowner::regrole::text = ?",
            [*schemas, owner],
        ).rows
        if owner in found and len(theirs) < len(schemas):
            yield f"{owner} does not own {', '.join(schemas)} yet: run medallion setup-postgres."


def _rights(session: PostgresSession) -> Iterator[str]:
    rights = dict(
        session.query(
            "select nspname, has_schema_privilege(nspname, 'create') from pg_namespace"
        ).rows
    )
    rows = session.query(
        "select current_user::text, current_database()::text,"
        " has_database_privilege(current_database(), 'create')"
    ).rows
    ((user, database, may_make),) = rows
    denied = [s for s in (*loaded_schemas(), *BUILT) if s in rights and not rights[s]]
    if denied:
        yield f"{user} may not write in {', '.join(denied)}: grant it, or log in as another."
    if not may_make and not rights.keys() >= {*loaded_schemas(), *BUILT}:
        yield f"{user} may not make schemas: grant create on database {database} to {user}."
