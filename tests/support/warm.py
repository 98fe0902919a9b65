"""Do what dbt prepares at its first call, in the process from which commands are forked.

Importing this module parses the project once for each engine. So commands find the code that dbt
generates for its classes, and begin with this parse result. By itself dbt parses anew for every
path and database of a warehouse, and every test has a warehouse of its own:
https://docs.getdbt.com/reference/parsing#known-limitations
"""

import functools
import gc
import logging
import os
import sys
import tempfile
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import repeat
from pathlib import Path
from typing import Any

import jinja2
import parsedatetime
from dbt.adapters.factory import reset_adapters
from dbt.cli.main import dbtRunner
from dbt.clients.jinja import MacroGenerator
from dbt.context import providers
from dbt.context.macros import MacroNamespace, MacroNamespaceBuilder
from dbt.context.manifest import ManifestContext
from dbt.contracts.graph.manifest import Manifest
from dbt.contracts.graph.nodes import Macro
from dbt.parser.manifest import ManifestLoader, extended_mashumuro_decoder
from dbt_common import behavior_flags, exceptions
from dbt_common.clients import jinja
from dbt_common.constants import SECRET_ENV_PREFIX
from dbt_common.events import base_types, event_manager
from dbt_common.events import functions as events
from google.protobuf import json_format

from ingestion.settings import PROJECT_ROOT

PROJECT = str(PROJECT_ROOT / "dbt_project")
# Every node of a manifest has the name of its database: that of most warehouses of tests, and one
# as long as those on a server, each of which takes its place in the bytes of a parse result.
DATABASES = {"duckdb": "warehouse", "postgres": "test_aaaaaaaaaaaa"}


# --- what dbt does some thousand times a command, with the same result in less time ---------------

env_secrets = exceptions.env_secrets


def env_secrets_if_any() -> list[str]:
    """The values that no line of a log may show; asked for each line, also of those not written."""
    names = os.environ._data  # the others decode every name and value
    prefix = SECRET_ENV_PREFIX.encode()
    return env_secrets() if any(name.startswith(prefix) for name in names) else []


fire_event = event_manager.EventManager.fire_event


def fire_event_if_read(
    self: event_manager.EventManager,
    e: base_types.BaseEvent,  # dbt names it so when it passes on the words of another library
    level: base_types.EventLevel | None = None,
    *args: Any,
    **kwargs: Any,
) -> None:
    """Tell logs and callbacks of an event; one for debugging only if somebody reads it.

    Of these, the job's own callback reads the end of a node.
    """
    logs = [log._python_logger for log in self.loggers]
    if (
        (level or e.level_tag()).value != "debug"
        or type(e).__name__ == "NodeFinished"
        or any(log is None or log.isEnabledFor(logging.DEBUG) for log in logs)
    ):
        fire_event(self, e, level, *args, **kwargs)


def message_of(event: base_types.BaseEvent, level: base_types.EventLevel | None = None) -> Any:
    """An event as logs and callbacks get it; dbt parses it as if it were JSON."""
    kind = type(event).__name__
    message = getattr(event.PROTO_TYPES_MODULE, f"{kind}Msg")()
    info = message.info
    info.level = (level or event.level_tag()).value
    info.msg, info.code, info.name = event.message(), event.code(), kind
    info.invocation_id = base_types.get_invocation_id()
    info.extra.update(base_types.get_global_metadata_vars())
    info.ts.FromDatetime(datetime.now(UTC))
    info.pid, info.thread = base_types.get_pid(), base_types.get_thread_name()
    message.data.CopyFrom(event.pb_msg)
    return message


def parsed_message(values: dict[str, Any], message: Any) -> Any:
    """An event's own values; dbt parses them as if they were JSON."""
    try:
        return type(message)(**values)
    except (AttributeError, TypeError, ValueError):
        # a value that is one in JSON only, such as a time
        return json_format.ParseDict(values, message)


class Callable(tuple[Any, ...]):
    """A macro, and where it is called from: most are never called, and this is made in no time."""

    __slots__ = ()
    # what dbt asks for before it replaces a macro in a unit test
    __class__ = property(lambda _: MacroGenerator)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        macro, shared = self
        return MacroGenerator(macro, *shared)(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        macro, shared = self
        return getattr(MacroGenerator(macro, *shared), name)


def build_namespace(
    self: MacroNamespaceBuilder,
    macros_by_package: Mapping[str, Mapping[str, Macro]],
    context: dict[str, Any],
) -> MacroNamespace:
    """All macros as a node may call them; dbt makes them anew for each node, one by one."""

    shared = (context, self.node, self.thread_ctx)

    def callable_ones(package: str) -> dict[str, Any]:
        macros = macros_by_package.get(package, {})
        return dict(zip(macros, map(Callable, zip(macros.values(), repeat(shared))), strict=True))

    made = {package: callable_ones(package) for package in macros_by_package}
    internal: dict[str, Any] = {}
    for package in reversed(self.internal_package_names_order):
        internal |= made.pop(package, {})
    root, own = (made.get(package, {}) for package in (self.root_package, self.search_package))
    namespace = MacroNamespace(root, own, internal, made)
    namespace.by_name = {**internal, "dbt": internal, **made, **root, **own}
    return namespace


context_to_dict = ManifestContext.to_dict


def context_with_macros(self: ManifestContext) -> dict[str, Any]:
    """What a node may name, with all macros at once; dbt adds them one by one."""
    if not isinstance(self.namespace, MacroNamespace):
        return context_to_dict(self)
    values = super(ManifestContext, self).to_dict()
    values.update(self.namespace.by_name)
    return values


args_to_dict = providers.args_to_dict
arguments: dict[int, tuple[Any, dict[str, Any]]] = {}


def arguments_once(args: Any) -> dict[str, Any]:
    """The arguments of a command, which dbt puts together anew for each node."""
    known = arguments.get(id(args))
    if known is None or known[0] is not args:
        arguments[id(args)] = known = (args, args_to_dict(args))
    return dict(known[1])


def calling_module() -> str:
    """The module that declares a flag, without reading the source of every caller."""
    frame = sys._getframe(1)
    while frame.f_globals["__name__"] == behavior_flags.__name__ and frame.f_back:
        frame = frame.f_back
    return str(frame.f_globals["__name__"])


compile_template = jinja2.Environment.compile
compiled: dict[tuple[Any, ...], Any] = {}


def compile_template_once(self: jinja2.Environment, *args: Any) -> Any:
    """The code of a template, which depends on its text and the kind of environment."""
    key = (type(self), *args)
    if key not in compiled:
        compiled[key] = compile_template(self, *args)
    return compiled[key]


events.env_secrets = env_secrets_if_any
jinja2.Environment.compile = compile_template_once
event_manager.EventManager.fire_event = fire_event_if_read
event_manager.msg_from_base_event = message_of
base_types.ParseDict = parsed_message
MacroNamespaceBuilder.build_namespace = build_namespace
ManifestContext.to_dict = context_with_macros
providers.args_to_dict = arguments_once
behavior_flags.BehaviorFlagRendered._default_source = staticmethod(calling_module)
# the words of a language's dates, made anew for each result of a query
parsedatetime.Constants = functools.cache(parsedatetime.Constants)


# --- the parse results ----------------------------------------------------------------------------


def parse(engine: str, environment: Mapping[str, str]) -> bytes:
    """The parse result of the project for an engine; the code of its macros is known then, too."""
    before = dict(os.environ)
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(environment)
        done = dbtRunner().invoke(
            [
                *("parse", "--project-dir", PROJECT, "--profiles-dir", PROJECT),
                *("--target", engine, "--target-path", folder, "--log-path", folder),
                # so that the code of each model's template is known, too
                *("--no-static-parser", "--log-level", "none"),
            ]
        )
        os.environ.clear()
        os.environ.update(before)
        reset_adapters()  # type: ignore[no-untyped-call]
        assert done.success, done.exception
        for each in done.result.macros.values():
            jinja.get_template(each.macro_sql, ctx={}, node=each)
        return (Path(folder) / "partial_parse.msgpack").read_bytes()


parsed = {
    "duckdb": parse("duckdb", {"MEDALLION_DUCKDB_PATH": f"{DATABASES['duckdb']}.duckdb"}),
    "postgres": parse("postgres", {"PGDATABASE": DATABASES["postgres"]}),
}
# used once: a command changes it
read = {"duckdb": Manifest.from_msgpack(parsed["duckdb"], decoder=extended_mashumuro_decoder)}
assert threading.active_count() == 1, threading.enumerate()  # a fork does not copy other threads

read_own = ManifestLoader.read_manifest_for_partial_parse


def read_own_or_parsed(loader: ManifestLoader) -> Manifest | None:
    """What a command finds in its own folder, or what was parsed here.

    dbt parses again what differs, as in a copy of the project that a test has changed.
    """
    found: Manifest | None = read_own(loader)
    project = loader.root_project
    credentials = project.credentials
    ours = DATABASES.get(credentials.type)  # Spark has no name of a database
    if (
        found is not None
        or ours is None
        or len(credentials.database) != len(ours)
        or (credentials.type == "duckdb" and credentials.database != ours)
        or project.project_name != "medallion"
        or project.cli_vars
    ):
        return found
    manifest = read.pop(credentials.type, None)
    if manifest is None:
        content = parsed[credentials.type].replace(ours.encode(), credentials.database.encode())
        manifest = Manifest.from_msgpack(content, decoder=extended_mashumuro_decoder)
    manifest.state_check.profile_hash = loader.manifest.state_check.profile_hash
    manifest.state_check.vars_hash = loader.manifest.state_check.vars_hash
    usable, _ = loader.is_partial_parsable(manifest)
    return manifest if usable else None


ManifestLoader.read_manifest_for_partial_parse = read_own_or_parsed

# what is here lives as long as the process: collections in the forked ones need not look at it
gc.collect()
gc.freeze()
# dbt keeps nearly all that it makes, and all of it is looked through fifteen times a build
gc.set_threshold(5000, 5, 100)
