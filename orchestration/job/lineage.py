"""Column lineage: from which columns each column is made, and which columns are made from it.

dbt compiles the project into its manifest, and sqlglot follows each column through the compiled
SQL: https://sqlglot.com/sqlglot/lineage.html. No warehouse is asked, so this works while a run is
under way. The result is kept in the work folder until the project changes.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pydantic import TypeAdapter

from ingestion.errors import MedallionError, UsageError
from ingestion.progress import Progress, Quiet
from ingestion.schema_on_read import ORIGIN
from ingestion.settings import Settings
from ingestion.sources import registry
from orchestration.job.transform import compile_models, project_digest

FORMAT = 1  # raise it when this module would read an older result wrongly
ROWS = "*"  # in place of a column: the number of rows
DIALECT = "duckdb"  # the dialect of the compiled SQL


@dataclass(frozen=True)
class ColumnInfo:
    """One column as the project describes it, and the tests that check it."""

    name: str
    type: str | None = None
    description: str = ""
    tests: tuple[str, ...] = ()


@dataclass(frozen=True)
class Relation:
    """A model, a seed or a source; ``name`` begins with the schema."""

    name: str
    kind: str
    description: str
    columns: tuple[ColumnInfo, ...]
    materialized: str = ""
    path: str = ""
    parents: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()  # tests of the whole relation

    @property
    def schema(self) -> str:
        """Its layer: staging, intermediate, marts, or the name of a source."""
        return self.name.partition(".")[0]


@dataclass(frozen=True)
class Exposure:
    """A use of models outside the project, as the project declares it."""

    name: str
    label: str
    description: str
    parents: tuple[str, ...]


@dataclass(frozen=True)
class Lineage:
    """The columns of the project, and from which columns each is made.

    ``origins`` maps each column of a model to the parents' columns that it is made from. Names are
    ``schema.relation.column``; ``*`` in place of a column means the number of rows. A constant has
    no origins. ``unresolved`` are the columns whose origins could not be found.
    """

    relations: dict[str, Relation]
    exposures: tuple[Exposure, ...] = ()
    origins: dict[str, tuple[str, ...]] = field(default_factory=dict)
    unresolved: tuple[str, ...] = ()

    def upstream(self, column: str) -> dict[str, int]:
        """All columns that ``column`` is made from, with the number of steps to each."""
        return _reached(column, self.origins)

    def downstream(self, column: str) -> dict[str, int]:
        """All columns that are made from ``column``, with the number of steps to each."""
        return _reached(column, self.users)

    @property
    def users(self) -> dict[str, list[str]]:
        """For each column, the columns made from it; a count of rows is made from no column."""
        found: dict[str, list[str]] = defaultdict(list)
        for column, origins in self.origins.items():
            for origin in origins:
                found[origin].append(column)
        return found

    def exposures_of(self, columns: Iterable[str]) -> list[Exposure]:
        """The exposures that use a relation with one of these columns."""
        used = {column.rpartition(".")[0] for column in columns}
        return [e for e in self.exposures if used & set(e.parents)]

    def columns(self) -> list[str]:
        """The full names of all columns."""
        return [f"{r.name}.{c.name}" for r in self.relations.values() for c in r.columns]

    def find(self, column: str) -> str:
        """The full name of a column that is given with or without schema and relation.

        Raises ``UsageError`` if no column matches, or more than one.
        """
        found = [n for n in self.columns() if n == column or n.endswith(f".{column}")]
        if len(found) > 1:
            marts = [name for name in found if name.startswith("marts.")]
            found = marts if len(marts) == 1 else found
        if len(found) > 1:
            listed = ", ".join(found[:8]) + (f" and {len(found) - 8} more" if found[8:] else "")
            raise UsageError(f"{column} is a column of several relations: {listed}. Choose one.")
        if not found:
            raise UsageError(
                f"There is no column {column}; name it as daily_trips.trips, or as"
                " marts.daily_trips.trips."
            )
        return found[0]

    def column(self, name: str) -> ColumnInfo:
        """What the project says of a column."""
        relation, _, column = name.rpartition(".")
        return next(c for c in self.relations[relation].columns if c.name == column)


def read_lineage(settings: Settings, progress: Progress | None = None) -> Lineage:
    """The lineage of the project; computed again only if the project has changed.

    Raises ``MedallionError`` if dbt cannot compile the project.
    """
    path = settings.work_dir / "lineage" / f"{_digest()}.json"
    if path.exists():
        return _ADAPTER.validate_json(path.read_bytes())
    found = _follow(compile_models(settings, progress or Quiet()))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for old in path.parent.glob("*.json"):
            old.unlink(missing_ok=True)
        begun = path.with_suffix(".part")
        begun.write_text(json.dumps(asdict(found)), "utf-8")
        begun.replace(path)
    except OSError as exc:
        raise MedallionError(f"Cannot write to {path.parent}: {exc.strerror}.") from exc
    return found


_ADAPTER = TypeAdapter(Lineage)


def _digest() -> str:
    sources = sorted(f"{d.source} {d.view} {d.read_schema}" for d in registry.datasets().values())
    whole = "\n".join([str(FORMAT), project_digest(), *sources])
    return hashlib.sha256(whole.encode()).hexdigest()[:24]


def _reached(begin: str, steps: Mapping[str, Iterable[str]]) -> dict[str, int]:
    found: dict[str, int] = {}
    at, depth = [begin], 0
    while at:
        depth += 1
        following = dict.fromkeys(n for column in at for n in steps.get(column, ()))
        at = [name for name in following if name not in found and name != begin]
        found |= dict.fromkeys(at, depth)
    return found


def _follow(manifest: Mapping[str, Any]) -> Lineage:
    """The lineage that a manifest with compiled SQL shows."""
    nodes = {**manifest["nodes"], **manifest["sources"]}
    kept = {k: n for k, n in nodes.items() if n["resource_type"] in ("model", "seed", "source")}
    names = {key: f"{n['schema']}.{n.get('identifier') or n['alias']}" for key, n in kept.items()}
    tests = _tests(manifest)
    relations = {
        names[key]: Relation(
            name=names[key],
            kind=node["resource_type"],
            description=_words(node["description"]),
            columns=_columns(node, tests.get(key, {})),
            materialized=node.get("config", {}).get("materialized") or "",
            path=node["original_file_path"],
            parents=tuple(_named(node, names)),
            tests=tuple(sorted(tests.get(key, {}).get(None, []))),
        )
        for key, node in kept.items()
    }
    exposures = tuple(
        Exposure(e["name"], e["label"] or e["name"], _words(e["description"]), tuple(named))
        for e in manifest["exposures"].values()
        for named in [_named(e, names)]
    )
    schema: dict[str, dict[str, dict[str, str]]] = defaultdict(dict)
    for relation in relations.values():
        if relation.columns:
            table = relation.name.partition(".")[2]
            schema[relation.schema][table] = {c.name: c.type or "text" for c in relation.columns}
    origins: dict[str, tuple[str, ...]] = {}
    unresolved: list[str] = []
    for key, node in kept.items():
        if node["resource_type"] == "model":
            for column, found in _of_model(node, schema, set(names.values())):
                whole = f"{names[key]}.{column}"
                if found is None:
                    unresolved.append(whole)
                else:
                    origins[whole] = tuple(found)
    return Lineage(relations, exposures, origins, tuple(unresolved))


def _of_model(
    node: Mapping[str, Any], schema: dict[str, Any], known: set[str]
) -> Iterator[tuple[str, list[str] | None]]:
    """Each column of a model, with the columns of other relations from which it is made.

    None in place of the columns if sqlglot cannot follow the column.
    """
    from sqlglot import exp, parse_one
    from sqlglot.errors import SqlglotError
    from sqlglot.lineage import lineage
    from sqlglot.optimizer.qualify import qualify
    from sqlglot.optimizer.scope import build_scope

    try:
        whole: Any = qualify(
            parse_one(node["compiled_code"], dialect=DIALECT),
            schema=schema,
            dialect=DIALECT,
            validate_qualify_columns=False,
            identify=False,
        )
        scope = build_scope(whole)
    except SqlglotError:
        yield from ((column, None) for column in node["columns"])
        return
    selected = set(whole.named_selects)
    for column in node["columns"]:
        if column not in selected:
            yield column, None
            continue
        try:
            parts = list(
                lineage(
                    column, whole, dialect=DIALECT, scope=scope, trim_selects=False, copy=False
                ).walk()
            )
        except SqlglotError:
            yield column, None
            continue
        found: dict[str, None] = {}
        for part in parts:
            if isinstance(part.source, exp.Table):
                table = f"{part.source.db}.{part.source.name}"
                if table in known:
                    found[f"{table}.{part.name.rpartition('.')[2]}"] = None
        # an aggregate without a column, such as count(*): the number of rows
        if not found and any(part.expression.find(exp.AggFunc) for part in parts):
            tables = (f"{t.db}.{t.name}" for t in _tables_of(whole))
            found |= dict.fromkeys(f"{table}.{ROWS}" for table in tables if table in known)
        yield column, list(found)


def _tables_of(query: Any) -> Iterator[Any]:
    """The tables that a query reads from other relations."""
    from sqlglot import exp

    return (table for table in query.find_all(exp.Table) if table.db)


def _named(node: Mapping[str, Any], names: Mapping[str, str]) -> list[str]:
    return [names[key] for key in node.get("depends_on", {}).get("nodes", ()) if key in names]


def _columns(
    node: Mapping[str, Any], tests: Mapping[str | None, list[str]]
) -> tuple[ColumnInfo, ...]:
    columns = {
        name: ColumnInfo(
            name, said["data_type"], _words(said["description"]), tuple(tests.get(name, ()))
        )
        for name, said in node["columns"].items()
    }
    if node["resource_type"] == "source":
        # a read view has the columns of its dataset, and where each row is from
        dataset = next(
            (d for d in registry.datasets().values() if (d.source, d.view) == _place(node)), None
        )
        read = {**(dataset.read_schema if dataset else {}), **ORIGIN}
        columns = {n: ColumnInfo(n, str(t)) for n, t in read.items()} | columns
    return tuple(columns.values())


def _place(node: Mapping[str, Any]) -> tuple[str, str]:
    return node["schema"], node.get("identifier") or node["name"]


def _tests(manifest: Mapping[str, Any]) -> dict[str, dict[str | None, list[str]]]:
    """The tests of each node, by column; tests of the whole node have the key None."""
    found: dict[str, dict[str | None, list[str]]] = defaultdict(lambda: defaultdict(list))
    for node in manifest["nodes"].values():
        if node["resource_type"] != "test":
            continue
        test = node.get("test_metadata") or {}
        kind = test.get("name")
        if kind == "key":
            of_model = found[node["attached_node"]]
            for column in test["kwargs"]["columns"]:
                of_model[column].append("key")
            for column in test["kwargs"].get("not_null") or ():
                of_model[column].append("not_null")
        elif node.get("attached_node"):
            found[node["attached_node"]][node.get("column_name")].append(kind or node["name"])
        else:
            for key in node["depends_on"]["nodes"]:
                found[key][None].append(node["name"])
    for node in manifest.get("unit_tests", {}).values():
        for key in node["depends_on"]["nodes"]:
            found[key][None].append(f"unit test {node['name']}")
    return found


def _words(text: str | None) -> str:
    return " ".join((text or "").replace("`", "").split())
