"""Roles and grants on PostgreSQL: least privilege, as SQL text.

Three roles share a prefix. The loader owns what is loaded (``raw``, and the schema of each source).
The transformer reads that and owns what dbt builds. The reader selects from ``marts``. No other
account can read.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ingestion.errors import UsageError
from ingestion.sources import registry

BUILT = ("staging", "intermediate", "marts")
READ = "marts"
# such a name needs no quotes, in SQL or in a connection's options
NAME = r"[a-z_][a-z0-9_]{0,40}"


def loaded_schemas() -> tuple[str, ...]:
    """The schemas that the loader owns: raw, and one for the read views of each source."""
    return ("raw", *registry.schemas())


@dataclass(frozen=True)
class Roles:
    """The names of the three roles."""

    prefix: str

    @property
    def loader(self) -> str:
        """Writes raw tables and read views, and nothing else."""
        return f"{self.prefix}_loader"

    @property
    def transformer(self) -> str:
        """Reads what is loaded and writes what dbt builds."""
        return f"{self.prefix}_transformer"

    @property
    def reader(self) -> str:
        """Selects from the marts."""
        return f"{self.prefix}_reader"

    @property
    def all(self) -> tuple[str, str, str]:
        """The three roles."""
        return self.loader, self.transformer, self.reader


def roles_named(prefix: str) -> Roles:
    """The roles of a prefix; raises ``UsageError`` where the prefix is not a plain name."""
    if not re.fullmatch(NAME, prefix):
        raise UsageError(f"{prefix!r} is no plain name for roles; write it like medallion.")
    return Roles(prefix)


def roles_sql(roles: Roles) -> list[str]:
    """Statements that create the roles if they do not exist; they get no password."""
    return [
        f"""do $$ begin
    if to_regrole('{role}') is null then create role {role} login; end if;
end $$"""
        for role in roles.all
    ]


def database_sql(roles: Roles, database: str) -> list[str]:
    """Statements that grant each role its part of one database and revoke it from all others.

    They can be run again at any time: objects that others created change their owner. They must be
    run by a superuser, or by the database's owner who may grant the roles.
    """
    ours = ", ".join(roles.all)
    loaded, built = ", ".join(loaded_schemas()), ", ".join(BUILT)
    name = '"' + database.replace('"', '""') + '"'
    return [
        # without this, an owner who is not a superuser could not give objects to the roles
        f"""do $$
declare
    given text;
    may text[] := case
        when current_setting('server_version_num')::int < 160000 then '{{usage}}'
        else '{{usage, set}}' -- who has made a role since 16 may grant it, and not yet act as it
    end;
begin
    foreach given in array '{{{roles.loader}, {roles.transformer}}}'::text[] loop
        if not (select bool_and(pg_has_role(current_user, given, how)) from unnest(may) as how)
        then
            execute format('grant %I to current_user', given);
        end if;
    end loop;
end $$""",
        f"revoke all on database {name} from public",
        f"grant connect on database {name} to {ours}",
        f"grant temporary on database {name} to {roles.transformer}",
        "revoke all on schema public from public",
        *(
            statement
            for owner, schemas in ((roles.loader, loaded_schemas()), (roles.transformer, BUILT))
            for schema in schemas
            for statement in (
                f"create schema if not exists {schema}",
                f"alter schema {schema} owner to {owner}",
                _own_relations(schema, owner),
                _close(schema, roles),
            )
        ),
        # revoke what was granted by hand and is not the role's part
        *(
            f"revoke all on {what} {schemas} from {others} cascade"
            for schemas, others in (
                (loaded, f"{roles.transformer}, {roles.reader}"),
                (built, f"{roles.loader}, {roles.reader}"),
            )
            for what in ("schema", "all tables in schema")
        ),
        f"grant usage on schema {loaded} to {roles.transformer}",
        f"grant usage on schema {READ} to {roles.reader}",
        f"grant select on all tables in schema {loaded} to {roles.transformer}",
        f"grant select on all tables in schema {READ} to {roles.reader}",
        # for future tables: raw tables at once, and marts until dbt's own grants apply
        f"alter default privileges for role {roles.loader} in schema {loaded}"
        f" grant select on tables to {roles.transformer}",
        f"alter default privileges for role {roles.transformer} in schema {READ}"
        f" grant select on tables to {roles.reader}",
        f"revoke all on all tables in schema {loaded}, {built} from public",
    ]


def managing_roles(owners: Mapping[str, str]) -> Roles | None:
    """The roles that own the schemas, from the owners' names; none if other accounts own them."""
    loader = owners.get("raw", "")
    roles = Roles(loader.removesuffix("_loader"))
    is_theirs = loader == roles.loader and owners.get(READ) == roles.transformer
    return roles if is_theirs else None


def too_powerful_sql(roles: Roles) -> str:
    """A query for those of the roles that can do more than is granted here.

    A member of another role has that role's rights too.
    """
    names = ", ".join(f"'{role}'" for role in roles.all)
    return f"""select rolname from pg_roles as r
where rolname in ({names})
    and (
        rolsuper or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls
        or exists (select 1 from pg_auth_members as m where m.member = r.oid)
    )
order by rolname"""


def _own_relations(schema: str, owner: str) -> str:
    """Make the owner of a schema the owner of its tables and views."""
    return f"""do $$
declare relation record;
begin
    for relation in
        select c.oid::regclass as name from pg_class as c
        where c.relnamespace = '{schema}'::regnamespace
            and c.relkind in ('r', 'p', 'v', 'm', 'f')
            and c.relowner <> '{owner}'::regrole
    loop
        execute format('alter table %s owner to {owner}', relation.name);
    end loop;
end $$"""


def _close(schema: str, roles: Roles) -> str:
    """Revoke a schema from everybody except the roles."""
    ours = ", ".join(f"'{role}'::regrole" for role in roles.all)
    return f"""do $$
declare held record;
begin
    for held in
        select distinct acl.grantee
        from pg_namespace as n, aclexplode(n.nspacl) as acl
        where n.nspname = '{schema}' and acl.grantee not in ({ours}, n.nspowner)
    loop
        execute format(
            'revoke all on schema {schema} from %s',
            case when held.grantee = 0 then 'public' else held.grantee::regrole::text end
        );
    end loop;
end $$"""
