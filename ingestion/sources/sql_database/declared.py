"""A ``source.toml`` of the kind ``sql_database``.

::

    title = "The dispatch database"
    kind = "sql_database"
    credentials = { env = "DISPATCH_DATABASE" }   # the variable that holds a SQLAlchemy URL

    [datasets.licensed_bases]                     # a whole table
    table = "public.bases"
    exclude_columns = ["photo"]

    [datasets.dispatches]                         # by month of a cursor column
    schema = "Dispatch"                           # with schema, both names are exact
    table = "Trips by base"
    cursor = "created_at"
    first_month = "2024-01"
    lookback_months = 3

    [datasets.trips_by_base]                      # a query, whole or by month
    query = "select base, count(*) as trips from dispatches group by base order by base"
"""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from ingestion.sources.base import FileFormat, Source
from ingestion.sources.declaration import (
    DatasetName,
    Declared,
    DeclaredDataset,
    DeclaredSource,
)


class Credentials(Declared):
    """Where the database's URL is: the name of an environment variable, never the URL."""

    env: str

    @field_validator("env")
    @classmethod
    def _is_a_variable(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise ValueError("it is the name of an environment variable that holds the URL")
        if name.upper().startswith("MEDALLION_"):
            raise ValueError("variables that begin with MEDALLION_ are settings: use another name")
        return name


class SqlDataset(DeclaredDataset):
    """A table or a query: whole, or a file for each month of a cursor column."""

    schema_name: str | None = Field(default=None, alias="schema", min_length=1)
    table: Annotated[str, Field(min_length=1)] | None = None
    query: Annotated[str, Field(min_length=1)] | None = None
    cursor: Annotated[str, Field(min_length=1)] | None = None
    lookback_months: int = Field(default=3, ge=1, le=1200)
    exclude_columns: tuple[str, ...] = ()

    @field_validator("query")
    @classmethod
    def _is_one_statement(cls, query: str | None) -> str | None:
        return query and query.strip().rstrip(";").rstrip()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.table is None) == (self.query is None):
            raise ValueError("give either table or query")
        if self.query is not None and self.schema_name is not None:
            raise ValueError("schema belongs to table: name the schema in the query")
        if (self.cursor is None) != (self.first_month is None):
            raise ValueError(
                "give cursor and first_month, or neither: it is one file for each month, or one"
                " file"
            )
        if self.cursor is None and "lookback_months" in self.model_fields_set:
            raise ValueError("lookback_months is for a dataset with a cursor")
        return self

    @property
    def options(self) -> dict[str, Any]:
        """What the kind reads, with the schema and the table apart."""
        schema, table = self.schema_name, self.table
        if schema is None and table is not None and table.count(".") == 1:
            schema, table = table.split(".")
        return {
            "schema": schema,
            "table": table,
            "query": self.query,
            "cursor": self.cursor,
            "lookback_months": self.lookback_months,
            "exclude_columns": self.exclude_columns,
        }

    @property
    def file_format(self) -> FileFormat:
        """Rows keep the types of the database."""
        return "parquet"


class SqlSource(DeclaredSource):
    """A ``source.toml`` of this kind."""

    kind: Literal["sql_database"]
    credentials: Credentials
    datasets: dict[DatasetName, SqlDataset] = Field(min_length=1)

    @field_validator("credentials", mode="before")
    @classmethod
    def _is_no_url(cls, credentials: object) -> object:
        if isinstance(credentials, str):
            raise ValueError(
                'write credentials = { env = "VARIABLE" }, and put the URL into that environment'
                " variable: it may hold a password"
            )
        return credentials

    def named(self, name: str) -> Source:
        """The source of this name; its address stays in its environment variable."""
        datasets = (
            d.dataset(
                name,
                n,
                f"{n}_{{month}}.parquet" if d.cursor else f"{n}.parquet",
                **d.options,
            )
            for n, d in self.datasets.items()
        )
        return self.source(name, "", tuple(datasets), credentials=self.credentials.env)
