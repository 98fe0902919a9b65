"""Asks an API for the rows of one dataset, by dlt's ``rest_api`` source."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

from dlt.common import jsonpath
from dlt.common.exceptions import DltException
from dlt.common.validation import validate_dict
from dlt.extract import DltResource
from dlt.sources.rest_api import rest_api_resources
from dlt.sources.rest_api.config_setup import create_paginator, get_auth_class
from dlt.sources.rest_api.typing import ClientConfig, Endpoint, RESTAPIConfig
from jsonpath_ng.exceptions import JSONPathError
from requests import HTTPError, Response

from ingestion.dlt_context import import_pandas
from ingestion.errors import FetchError, UsageError
from ingestion.sources.base import Dataset, PublishedFile, Publisher
from ingestion.sources.files.http import cannot_reach, request_errors
from ingestion.sources.rest_api import config
from ingestion.sources.rest_api.pages import CheckedPages
from ingestion.sources.rest_api.session import session

_SHOWN = 200  # characters of what dlt or the API says


def rows(
    publisher: Publisher,
    dataset: Dataset,
    file: PublishedFile,
    on_bytes: Callable[[int], None],
) -> Iterator[dict[str, Any]]:
    """Every row of a dataset, or of one month of it, as received.

    Raises ``FetchError`` for every error of the API, and ``UsageError`` where dlt refuses the
    configuration; neither has a secret in it.
    """
    secret = config.secrets(publisher, dataset)
    declared = publisher.source.options["client"], dataset.options["endpoint"]
    client, endpoint = (config.filled(part, file.month, secret) for part in declared)
    key = f"datasets.{dataset.name}"
    oauth = [
        part["auth"]
        for part in (client, endpoint)
        if isinstance(part.get("auth"), dict) and "access_token_url" in part["auth"]
    ]
    servers = [publisher.url, *(auth["access_token_url"] for auth in oauth)]
    with session(servers, publisher.least_rate) as asks:
        try:
            _check(client, endpoint, f"{key}.endpoint")
            for auth in oauth:
                auth["session"] = asks
            pages = CheckedPages(
                create_paginator(endpoint.get("paginator") or client.get("paginator")),
                endpoint.get("data_selector"),
                dataset.options["max_pages"],
                on_bytes,
            )
            config_of_dlt = {
                "client": client | {"base_url": publisher.url, "session": asks},
                "resources": [{"name": dataset.name, "endpoint": endpoint | {"paginator": pages}}],
            }
            with _told_of(key):
                (resource,) = _resources(cast(RESTAPIConfig, config_of_dlt))
        except _RefusedError as exc:
            told = config.redacted(f"{publisher.source.name}/source.toml: {exc}.", secret)
            raise UsageError(told) from None  # what dlt says may hold a secret
        try:
            for row in resource:
                if not isinstance(row, dict):
                    raise FetchError(
                        f"a row is no object but a {type(row).__name__}."
                        " Check endpoint.data_selector."
                    )
                yield row
            pages.let_no_cut_pass()
        except _errors() as exc:
            reason = _reason(exc, file, config.variables(*declared))
            # the exceptions of requests hold whole addresses, where a secret may be
            raise FetchError(config.redacted(f"{file.name}: {reason}", secret)) from None


def _resources(config_of_dlt: RESTAPIConfig) -> list[DltResource]:
    try:
        return rest_api_resources(config_of_dlt)
    except AttributeError:
        # another thread imports pandas, and dlt asked the half of it that is there for its frames
        import_pandas()
        return rest_api_resources(config_of_dlt)


def _errors() -> tuple[type[Exception], ...]:
    return DltException, FetchError, *request_errors()


class _RefusedError(Exception):
    """dlt does not take a part of the configuration."""


@contextmanager
def _told_of(key: str) -> Iterator[None]:
    """Say which key it is that dlt refuses."""
    try:
        yield
    except (DltException, JSONPathError, ValueError, TypeError, KeyError) as exc:
        raise _RefusedError(f"{key}: {_short(exc)}") from exc


def _check(client: Mapping[str, Any], endpoint: Mapping[str, Any], key: str) -> None:
    """Check the configuration part by part, as dlt names no key when it checks the whole."""
    for where, part, shape in (("client", client, ClientConfig), (key, endpoint, Endpoint)):
        with _told_of(f"{where}.auth"):
            _let_nothing_be_looked_up(part.get("auth"))
        with _told_of(f"{where}.paginator"):
            create_paginator(part.get("paginator"))
        with _told_of(where):
            validate_dict(cast(Any, shape), dict(part), path=where)
    with _told_of(f"{key}.data_selector"):
        jsonpath.compile_path(endpoint.get("data_selector") or "$")


def _let_nothing_be_looked_up(auth: Any) -> None:
    """Refuse an incomplete ``auth``: dlt would take the rest from variables of any name."""
    if not auth:
        return
    given = auth if isinstance(auth, dict) else {"type": auth}
    kind = given.get("type", "bearer")
    found = get_auth_class(kind).from_init_value({k: v for k, v in given.items() if k != "type"})
    if found.is_partial():
        missing = [name for name in found.get_resolvable_fields() if getattr(found, name) is None]
        raise ValueError(f"the type {kind} needs {' and '.join(missing)}")


def _reason(exc: BaseException, file: PublishedFile, variables: list[str]) -> str:
    """What went wrong, and what to do."""
    causes = list(_chain(exc))
    for cause in causes:
        if isinstance(cause, FetchError):
            return str(cause)
    for cause in causes:
        if isinstance(cause, HTTPError) and cause.response is not None:
            return _refused(cause.response, variables)
    for cause in causes:
        if isinstance(cause, request_errors()):
            return cannot_reach(file.url, cause)
    return f"its pages cannot be read: {_short(causes[-1])}. Check endpoint in source.toml."


def _chain(exc: BaseException | None) -> Iterator[BaseException]:
    while exc:
        yield exc
        exc = exc.__cause__ or (None if exc.__suppress_context__ else exc.__context__)


def _refused(response: Response, variables: list[str]) -> str:
    status = response.status_code
    said = f"{response.url.partition('?')[0]} answers {status}"
    names = ", ".join(variables)
    if status in (401, 403):
        if not variables:
            return f"{said}: it asks who you are. Give client.auth in source.toml."
        return f"{said}: it does not take the secret in {names}. Check that variable."
    if status == 404:
        return f"{said}: there is nothing. Check url and endpoint.path in source.toml."
    if status == 429:
        return f"{said} to every try: too many requests. Run again later."
    if status >= 500:
        return f"{said} to every try: the server is in trouble. Run again later."
    return f"{said}: {_one_line(response.text) or response.reason}. Check endpoint in source.toml."


def _short(exc: BaseException) -> str:
    return _one_line(str(exc)) or type(exc).__name__


def _one_line(text: str) -> str:
    text = " ".join(text.split())
    return (text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…").rstrip(".")
