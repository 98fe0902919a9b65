"""dlt's configuration of an API, from what a source declares: months and secrets filled in."""

import calendar
import os
import re
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import Any
from urllib.parse import quote, urlencode

from ingestion.errors import UsageError
from ingestion.sources.base import Dataset, Publisher

PLACEHOLDERS = ("{month}", "{month_start}", "{month_end}", "{next_month_start}")


def variable_in(value: object) -> str | None:
    """The variable that a value ``{ env = "NAME" }`` names; none for any other value."""
    if isinstance(value, Mapping) and value.keys() == {"env"}:
        name = value["env"]
        if isinstance(name, str) and re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
            return name
    return None


def variables(*configs: object) -> list[str]:
    """The names of all variables that hold secrets of these configurations."""
    return list(dict.fromkeys(name for config in configs for name in _variables(config)))


def _variables(value: object) -> Iterator[str]:
    if name := variable_in(value):
        yield name
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _variables(item)
    elif isinstance(value, list):
        for item in value:
            yield from _variables(item)


def secrets(publisher: Publisher, dataset: Dataset) -> dict[str, str]:
    """The secrets of a dataset, by variable; raises ``UsageError`` where one is not set."""
    source = publisher.source
    names = variables(source.options["client"], dataset.options["endpoint"])
    found = {name: os.environ.get(name, "") for name in names}
    if missing := [name for name, value in found.items() if not value]:
        raise UsageError(
            f"{dataset.name}: {', '.join(missing)} is not set: {source.name}/source.toml takes a"
            " secret from this environment variable."
        )
    return found


def filled(value: Any, month: date | None, secret: Mapping[str, str]) -> Any:
    """A configuration with the month in place of placeholders, and the secrets."""
    if name := variable_in(value):
        return secret[name]
    if isinstance(value, Mapping):
        return {filled(k, month, {}): filled(item, month, secret) for k, item in value.items()}
    if isinstance(value, list):
        return [filled(item, month, secret) for item in value]
    if isinstance(value, str) and month:
        return _of_month(value, month)
    return value


def _of_month(text: str, month: date) -> str:
    last = month.replace(day=calendar.monthrange(month.year, month.month)[1])
    days = (f"{month:%Y-%m}", month, last, last + timedelta(days=1))
    for placeholder, day in zip(PLACEHOLDERS, days, strict=True):
        text = text.replace(placeholder, str(day))
    return text


def address(publisher: Publisher, dataset: Dataset, month: date | None) -> str:
    """The address of a dataset's rows, with its params and without its secrets."""
    endpoint = filled(_without_secrets(dataset.options["endpoint"]), month, {})
    path, params = endpoint["path"].lstrip("/"), endpoint.get("params") or {}
    url = "/".join(filter(None, [publisher.url, quote(path, safe="/{}:,;=@!$'()*+&~")]))
    query = urlencode(params, doseq=True, safe="/:,$'()*")
    return f"{url}?{query}" if query else url


def _without_secrets(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _without_secrets(v) for k, v in value.items() if not variable_in(v)}
    return value


def redacted(message: str, secret: Mapping[str, str]) -> str:
    """A message without the secrets, also where they stand in an address."""
    for value in secret.values():
        for spelling in {value, quote(value), quote(value, safe=""), urlencode({"": value})[1:]}:
            message = message.replace(spelling, "***")
    return message
