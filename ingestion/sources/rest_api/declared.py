"""A ``source.toml`` of the kind ``rest_api``.

``client`` and ``endpoint`` are dlt's own configuration of its ``rest_api`` source, as it is::

    kind = "rest_api"
    title = "The weather service"
    url = "https://api.example.org/v1"

    [client]
    auth = { type = "bearer", token = { env = "WEATHER_TOKEN" } }

    [datasets.observations]
    first_month = "2024-01"

    [datasets.observations.endpoint]
    path = "observations"
    params = { from = "{month_start}", until = "{month_end}" }
    data_selector = "results"
    paginator = { type = "offset", limit = 1000, total_path = "count" }

https://dlthub.com/docs/dlt-ecosystem/verified-sources/rest_api/basic
"""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, field_validator, model_validator

from ingestion.sources.base import FileFormat, Source
from ingestion.sources.declaration import DatasetName, DeclaredDataset, DeclaredSource
from ingestion.sources.rest_api.config import PLACEHOLDERS, variable_in

# keys whose values are secrets, in any part of dlt's configuration but the paginators
_SECRET = re.compile(
    r"(token|password|passwd|pwd|secret|api[-_]?key|authorization|cookie|credentials?)$|^key$",
    re.IGNORECASE,
)


def _keeps_secrets(config: dict[str, Any]) -> dict[str, Any]:
    for where, key, value in _values(config):
        if isinstance(value, dict):
            if "env" in value and variable_in(value) is None:
                raise ValueError(f'{where}: write {{ env = "NAME_OF_THE_VARIABLE" }}')
        elif _SECRET.search(key):
            raise ValueError(
                f"{where} is a secret: put it into an environment variable, and write"
                f' {key} = {{ env = "NAME_OF_THE_VARIABLE" }}'
            )
    return config


def _values(config: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, str, Any]]:
    """Every value of nested tables, with its path and its key; none of the paginators."""
    for key, value in config.items():
        if key == "paginator":
            continue
        where = f"{within}{key}"
        yield where, key, value
        if isinstance(value, dict):
            yield from _values(value, f"{where}.")
        elif isinstance(value, list):
            for n, item in enumerate(value):
                if isinstance(item, dict):
                    yield from _values(item, f"{where}.{n}.")


Config = Annotated[dict[str, Any], AfterValidator(_keeps_secrets)]


class ApiDataset(DeclaredDataset):
    """The rows of one endpoint, whole or by month."""

    endpoint: Config
    lookback_months: int = Field(default=3, ge=1)
    max_pages: int = Field(default=10_000, ge=1)

    @field_validator("endpoint")
    @classmethod
    def _can_be_asked(cls, endpoint: dict[str, Any]) -> dict[str, Any]:
        path, params = endpoint.get("path"), endpoint.get("params", {})
        if not isinstance(path, str) or "://" in path or "?" in path:
            raise ValueError(
                "path is below the url, without a server and a ?: what follows it are params"
            )
        if not isinstance(params, dict):
            raise ValueError("params is a table of names and values")
        types = [p.get("type") for p in params.values() if isinstance(p, dict)]
        if "incremental" in endpoint or "incremental" in types:
            raise ValueError(
                "incremental is not supported, for a version is whole: give first_month, and use"
                " {month_start} and {month_end}"
            )
        return endpoint

    @model_validator(mode="after")
    def _monthly_or_not(self) -> Self:
        used = [name for name in PLACEHOLDERS if name in str(self.endpoint)]
        if self.first_month and not used:
            raise ValueError(
                "endpoint asks for the same rows in every month: use one of"
                f" {', '.join(PLACEHOLDERS)} in it, or leave first_month out"
            )
        if used and not self.first_month:
            raise ValueError(f"endpoint has {used[0]}: give first_month, or take it out")
        return self

    @property
    def file_format(self) -> FileFormat:
        """Rows are kept as they were received."""
        return "jsonl.gz"


class ApiSource(DeclaredSource):
    """A ``source.toml`` of this kind."""

    kind: Literal["rest_api"]
    url: str
    client: Config = Field(default_factory=dict)
    datasets: dict[DatasetName, ApiDataset] = Field(min_length=1)

    @field_validator("url")
    @classmethod
    def _known_scheme(cls, url: str) -> str:
        if urlsplit(url).scheme not in ("http", "https", "file"):
            raise ValueError("it starts with https:// or http://")
        if "@" in url.partition("://")[2].partition("/")[0] or "?" in url:
            raise ValueError("it has no user, password or ?: put them into client.auth and params")
        return url.rstrip("/")

    @field_validator("client")
    @classmethod
    def _without_url(cls, client: dict[str, Any]) -> dict[str, Any]:
        if ours := {"base_url", "session"} & client.keys():
            raise ValueError(f"{', '.join(ours)} is not given here: the address is the key url")
        return client

    def named(self, name: str) -> Source:
        """The source of this name."""
        datasets = (
            d.dataset(
                name,
                n,
                f"{n}_{{month}}.jsonl.gz" if d.first_month else f"{n}.jsonl.gz",
                endpoint=d.endpoint,
                lookback_months=d.lookback_months,
                max_pages=d.max_pages,
            )
            for n, d in self.datasets.items()
        )
        return self.source(name, self.url, tuple(datasets), client=self.client)
