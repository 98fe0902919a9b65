"""What every ``source.toml`` declares, whatever its kind; each kind adds its own keys.

The folder's name is the source's name, and the schema of its read views.
"""

from abc import ABC, abstractmethod
from datetime import date
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from ingestion.schema_on_read import ORIGIN
from ingestion.sources.base import (
    JSON,
    TEXT,
    Column,
    Dataset,
    Era,
    FileFormat,
    KindName,
    Source,
)
from ingestion.sources.read_types import OF_TEXT, TYPES, ReadType, declared_type
from ingestion.sources.sql_words import WORDS_OF_SQL

NAME = r"^[a-z][a-z0-9_]{0,40}$"
# the types in a file with types that are read as each read type without a remark
_FILE_TYPES: dict[ReadType, frozenset[str]] = {
    "bigint": frozenset({"int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "null"}),
    "double": frozenset({"float", "double", "int8", "int16", "int32", "int64", "null"}),
    "text": frozenset({"string", "large_string", "null", JSON}),
    "timestamp": frozenset({"timestamp[s]", "timestamp[ms]", "timestamp[us]", "null"}),
    "boolean": frozenset({"bool", "null"}),
    "date": frozenset({"date32[day]", "date64[ms]", "null"}),
    "binary": frozenset({"binary", "large_binary", "null"}),
    "timestamptz": frozenset({f"timestamp[{unit}, tz=UTC]" for unit in ("s", "ms", "us")}),
}


class Declared(BaseModel):
    """A part of a ``source.toml``: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DeclaredDataset(Declared, ABC):
    """The keys that a dataset of every kind has."""

    first_month: Annotated[str, Field(pattern=r"^20\d{2}-(0[1-9]|1[0-2])$")] | None = None
    columns: dict[str, Annotated[ReadType, AfterValidator(declared_type)]] = {}
    required: list[str] = []

    @field_validator("columns")
    @classmethod
    def _can_be_read(cls, columns: dict[str, ReadType]) -> dict[str, ReadType]:
        names = [name.strip().lower() for name in columns]
        if taken := ORIGIN.keys() & set(names):
            raise ValueError(f"every read view has a column {', '.join(sorted(taken))} of its own")
        if len(set(names)) < len(names):
            raise ValueError("two of them differ only by case")
        return columns

    @field_validator("required")
    @classmethod
    def _is_declared(cls, required: list[str], info: ValidationInfo) -> list[str]:
        if unknown := [name for name in required if name not in info.data.get("columns", required)]:
            raise ValueError(f"{', '.join(unknown)} is not among its columns")
        return required

    @property
    @abstractmethod
    def file_format(self) -> FileFormat:
        """The format of its files in the lake."""

    @model_validator(mode="after")
    def _types_of_its_format(self) -> Self:
        of_format = {"parquet": TYPES, "jsonl": (*OF_TEXT, "boolean"), "csv": OF_TEXT}
        known = of_format[self.file_format.removesuffix(".gz")]
        odd = [t for t in self.columns.values() if t not in known]
        if odd and known != TYPES:
            raise ValueError(
                f"columns: {odd[0]} is a type of Parquet files; in {self.file_format} a column is"
                f" {', '.join(known)}"
            )
        return self

    def dataset(self, source: str, name: str, path: str, **options: Any) -> Dataset:
        """The dataset of this name, as files at ``path``."""
        since = date.fromisoformat(f"{self.first_month}-01") if self.first_month else date.min
        columns = tuple(
            Column(
                column,
                read_type,
                frozenset({TEXT}) if "csv" in self.file_format else _file_types(read_type),
                column in self.required,
            )
            for column, read_type in self.columns.items()
        )
        return Dataset(
            name=name,
            source=source,
            path=path,
            file_format=self.file_format,
            first_month=since if self.first_month else None,
            eras=(Era(since, columns),),
            options=options,
        )


def _file_types(read_type: ReadType) -> frozenset[str]:
    # a decimal is spelled with the digits of its own
    return _FILE_TYPES.get(read_type) or frozenset({read_type.replace("decimal", "decimal128")})


def _no_word_of_sql(name: str) -> str:
    if name in WORDS_OF_SQL:
        raise ValueError(f"{name} is a word of SQL: call the dataset something else")
    return name


DatasetName = Annotated[str, Field(pattern=NAME), AfterValidator(_no_word_of_sql)]


class DeclaredSource(Declared, ABC):
    """The keys that a source of every kind has."""

    title: str = ""
    kind: KindName
    enabled: bool = False
    overdue_days: int = Field(default=120, ge=1)

    @abstractmethod
    def named(self, name: str) -> Source:
        """The source of this name."""

    def source(self, name: str, url: str, datasets: tuple[Dataset, ...], **options: Any) -> Source:
        """The source of this name, at this address."""
        return Source(
            name=name,
            title=self.title or name,
            kind=self.kind,
            url=url,
            datasets=datasets,
            usual=tuple(d.name for d in datasets if d.monthly),
            enabled=self.enabled,
            overdue_days=self.overdue_days,
            options=options,
        )
