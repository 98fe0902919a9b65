"""A ``source.toml`` of the kind ``files``.

::

    title = "Citi Bike"
    url = "https://example.org/bikes"

    [datasets.bike_rides]
    path = "rides/{month}.csv"      # below the address; without {month}: one file
    first_month = "2024-01"
    required = ["started_at"]

    [datasets.bike_rides.columns]   # published name = how it is read
    started_at = "timestamp"
    minutes = "double"

A web server that makes one file for a query is asked for ``request``, as
``export?format=csv``, in place of ``path``.
"""

import re
from dataclasses import replace
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from ingestion.sources.base import FORMATS, SCHEMES, FileFormat, Source
from ingestion.sources.declaration import DatasetName, DeclaredDataset, DeclaredSource


class FilesDataset(DeclaredDataset):
    """One file for each month, or one file that is replaced."""

    path: str
    request: str = ""

    @field_validator("path")
    @classmethod
    def _of_a_format(cls, path: str) -> str:
        if not path.endswith(tuple(f".{f}" for f in FORMATS)):
            raise ValueError(f"it ends with one of {', '.join(f'.{f}' for f in FORMATS)}")
        if path.startswith("/") or ".." in path.split("/"):
            raise ValueError("it is below the source's address: no / before it, and no ..")
        folder, _, name = path.rpartition("/")
        if "{" in folder + name.replace("{month}", "", 1):
            raise ValueError("its file name has {month} once, or not at all; it has no other brace")
        return path

    @field_validator("request")
    @classmethod
    def _below_the_address(cls, request: str) -> str:
        if request.startswith("/") or not re.fullmatch(r"[!-~]*", request):
            raise ValueError("it is below the source's address: no / before it, and no blank")
        return request

    @model_validator(mode="after")
    def _monthly_or_not(self) -> Self:
        if ("{month}" in self.path) != (self.first_month is not None):
            raise ValueError(
                "path has {month} and first_month is given, or neither: it is one file a month, or"
                " one file"
            )
        if self.request and self.first_month:
            raise ValueError("request is for one file: a dataset of months has none")
        return self

    @property
    def file_format(self) -> FileFormat:
        """The format, by the ending of the path."""
        return next(f for f in reversed(FORMATS) if self.path.endswith(f".{f}"))


class FilesSource(DeclaredSource):
    """A ``source.toml`` of this kind."""

    kind: Literal["files"] = "files"
    url: str
    datasets: dict[DatasetName, FilesDataset] = Field(min_length=1)

    @field_validator("url")
    @classmethod
    def _known_scheme(cls, url: str) -> str:
        return published_at(url)

    def named(self, name: str) -> Source:
        """The source of this name."""
        datasets = (
            replace(d.dataset(name, n, d.path), request=d.request) for n, d in self.datasets.items()
        )
        return self.source(name, self.url, tuple(datasets))


def published_at(url: str) -> str:
    """The address of files, without a slash at its end; raises ``ValueError`` if it is none."""
    if urlsplit(url).scheme not in SCHEMES:
        raise ValueError(f"it starts with one of {', '.join(f'{s}://' for s in SCHEMES)}")
    if "@" in url.partition("://")[2].partition("/")[0]:
        raise ValueError("it has no user and password: put them in ~/.netrc")
    return url.rstrip("/")
