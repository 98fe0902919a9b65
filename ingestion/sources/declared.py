"""Sources that a ``source.toml`` declares: the keys of the file, and the source made from it.

The folder's name is the source's name, and the schema of its read views::

    title = "Citi Bike"
    url = "https://example.org/bikes"

    [datasets.bike_rides]
    path = "rides/{month}.csv"      # below the address; without {month}: one file
    first_month = "2024-01"
    required = ["started_at"]

    [datasets.bike_rides.columns]   # published name = how it is read
    started_at = "timestamp"
    minutes = "double"
"""

import re
import tomllib
from datetime import date
from functools import cache
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ingestion.errors import UsageError
from ingestion.schema_on_read import ORIGIN
from ingestion.sources.base import (
    FORMATS,
    RESERVED,
    TEXT,
    Column,
    Dataset,
    Era,
    FileFormat,
    ReadType,
    Source,
)

NAME = r"^[a-z][a-z0-9_]{0,40}$"
# the Parquet types that are read as each read type without a remark
_FILE_TYPES: dict[ReadType, frozenset[str]] = {
    "bigint": frozenset({"int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "null"}),
    "double": frozenset({"float", "double", "int8", "int16", "int32", "int64", "null"}),
    "text": frozenset({"string", "large_string", "null"}),
    "timestamp": frozenset({"timestamp[s]", "timestamp[ms]", "timestamp[us]", "null"}),
}


class _Declared(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DeclaredDataset(_Declared):
    """One dataset of a ``source.toml``."""

    path: str
    first_month: Annotated[str, Field(pattern=r"^20\d{2}-(0[1-9]|1[0-2])$")] | None = None
    columns: dict[str, ReadType] = Field(min_length=1)
    required: list[str] = []

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

    @property
    def file_format(self) -> FileFormat:
        """The format, by the ending of the path."""
        return next(f for f in reversed(FORMATS) if self.path.endswith(f".{f}"))


class DeclaredSource(_Declared):
    """A ``source.toml``."""

    title: str = ""
    kind: Literal["files"] = "files"
    url: str
    enabled: bool = False
    overdue_days: int = Field(default=120, ge=1)
    datasets: dict[Annotated[str, Field(pattern=NAME)], DeclaredDataset] = Field(min_length=1)

    @field_validator("url")
    @classmethod
    def _known_scheme(cls, url: str) -> str:
        if urlsplit(url).scheme not in ("http", "https", "file"):
            raise ValueError("it starts with https://, http:// or file://")
        if "@" in url.partition("://")[2].partition("/")[0]:
            raise ValueError("it has no user and password: put them in ~/.netrc")
        return url.rstrip("/")


def read_source(path: Path) -> Source:
    """The source that a ``source.toml`` declares; raises ``UsageError`` with file and key."""
    name = path.parent.name
    try:
        declared = DeclaredSource.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise UsageError(f"{path} cannot be read: {exc}. Write it as TOML.") from exc
    except ValidationError as exc:
        faults = (
            f"{'.'.join(map(str, e['loc']))}: {e['msg'].removeprefix('Value error, ')}"
            for e in exc.errors(include_url=False, include_input=False)
        )
        raise UsageError(f"{path} declares no source: {'; '.join(faults)}.") from exc
    if not re.fullmatch(NAME, name) or name.startswith("pg_") or name in RESERVED | _words_of_sql():
        raise UsageError(
            f"{path.parent} cannot be a source's folder: its name is the schema of the read views,"
            " so it has small letters, digits and _ only, does not begin with pg_, and is neither a"
            f" word of SQL nor one of {', '.join(sorted(RESERVED))}."
        )
    return Source(
        name=name,
        title=declared.title or name,
        kind=declared.kind,
        url=declared.url,
        datasets=tuple(_dataset(path, name, n, d) for n, d in declared.datasets.items()),
        usual=tuple(n for n, d in declared.datasets.items() if "{month}" in d.path),
        enabled=declared.enabled,
        overdue_days=declared.overdue_days,
    )


@cache
def _words_of_sql() -> frozenset[str]:
    """The words that SQL does not take as a name, by DuckDB, whose grammar is PostgreSQL's."""
    import duckdb

    with duckdb.connect() as connection:
        rows = connection.execute(
            "select keyword_name from duckdb_keywords() where keyword_category <> 'unreserved'"
        ).fetchall()
    return frozenset(word for (word,) in rows)


def _dataset(path: Path, source: str, name: str, declared: DeclaredDataset) -> Dataset:
    where = f"{path}: datasets.{name}"
    if name in _words_of_sql():
        raise UsageError(f"{where}: {name} is a word of SQL: call the dataset something else.")
    monthly = "{month}" in declared.path
    if monthly != (declared.first_month is not None):
        raise UsageError(
            f"{where}: path has {{month}} and first_month is given, or neither: it is one file a"
            " month, or one file."
        )
    if unknown := [column for column in declared.required if column not in declared.columns]:
        raise UsageError(f"{where}.required: {', '.join(unknown)} is not among its columns.")
    since = date.fromisoformat(f"{declared.first_month}-01") if declared.first_month else date.min
    columns = tuple(
        Column(
            column,
            read_type,
            _FILE_TYPES[read_type] if declared.file_format == "parquet" else frozenset({TEXT}),
            column in declared.required,
        )
        for column, read_type in declared.columns.items()
    )
    dataset = Dataset(
        name=name,
        source=source,
        path=declared.path,
        file_format=declared.file_format,
        first_month=since if monthly else None,
        eras=(Era(since, columns),),
    )
    if taken := ORIGIN.keys() & dataset.read_schema.keys():
        raise UsageError(
            f"{where}.columns: every read view has a column {', '.join(sorted(taken))} of its own."
        )
    if len(dataset.read_schema) < len(columns):
        raise UsageError(f"{where}.columns: two of them differ only by case.")
    return dataset
