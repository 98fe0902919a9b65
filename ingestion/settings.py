"""All settings, typed, in one place.

Values come from environment variables and from ``.env`` in the working directory or at the
project's root. Default paths are under ``data/`` at the project's root, wherever a command is
started. Relative paths from a user are relative to the working directory.
"""

import os
import re
from collections.abc import Sequence
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, Self, get_args
from urllib.parse import urlsplit

from dotenv import load_dotenv
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from ingestion.addresses import local_path
from ingestion.errors import UsageError
from ingestion.setting_values import (
    ENV_NAME,
    begins_as_address,
    env_name_error,
    name_error,
    publisher_address,
    store_address,
    whole_path,
)
from ingestion.sources import registry
from ingestion.sources.base import Publisher, Source

PROJECT_ROOT = Path(__file__).resolve().parents[1]
DATA_DIR = PROJECT_ROOT / "data"

AZURE_TIERS = ("Hot", "Cool", "Cold")
# Variables that the image, the Prefect deployment and dbt read; no setting here.
FOR_OTHERS = {
    "MEDALLION_PROJECT",
    "MEDALLION_IMAGE",
    "MEDALLION_BUILD_INPUTS",
    "MEDALLION_BUILD_ANEW",
    "MEDALLION_RUN_LOCK",
}
FOR_TESTS = "MEDALLION_TEST_"
PREFIX = "MEDALLION_"
PUBLISH_NOTHING = "off"
NO_SITE = "off"
SHORTEST_TOKEN = 24
ENV_VARIANT = "env-"
AS_OF = "as-of-"  # how the variant of a past day begins


class Settings(BaseSettings):
    """The settings of one run; ``.env.example`` explains each value.

    Besides the fields below there is one variable for each address that can be set, as the registry
    names them: ``MEDALLION_{SOURCE}_URL``, and those of datasets that are published elsewhere.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        extra="allow",
        frozen=True,
        validate_default=True,
        hide_input_in_errors=True,
    )

    sources: str = ""
    enabled_sources: str = ""
    lake_url: str = str(DATA_DIR / "lake")
    lake_encryption: str = ""
    lake_storage_class: str = ""
    target: Literal["duckdb", "postgres", "spark"] = "duckdb"
    raw: Literal["loaded", "in_place"] = "loaded"
    duckdb_path: Path = DATA_DIR / "warehouse.duckdb"
    duckdb_memory_limit: str = Field(default="1GB", pattern=r"^\d+(\.\d+)?\s*([KMGT]i?)?B$")
    postgres_dir: Path = DATA_DIR / "postgres"
    postgres_roles: str = Field(default="", pattern=r"^([a-z_][a-z0-9_]{0,40})?$")
    spark_method: Literal["thrift"] = "thrift"
    spark_host: str = "127.0.0.1"
    spark_port: int = Field(default=10000, ge=1, le=65535)
    spark_auth: Literal["NONE", "NOSASL", "LDAP", "KERBEROS"] = "NONE"
    spark_user: str = ""
    spark_password: SecretStr | None = None
    spark_kerberos_service: str = ""
    # what the names of the schemas begin with, where others use the same metastore
    spark_schema_prefix: str = Field(default="", pattern=r"^([a-z][a-z0-9_]{0,40}_)?$")
    spark_threads: int = Field(default=2, ge=1, le=64)
    spark_format: Literal["parquet", "iceberg"] = "parquet"
    spark_dir: Path = DATA_DIR / "spark"
    work_dir: Path = DATA_DIR / "work"
    least_download_rate: int = Field(default=1000, ge=0)  # bytes a second; 0: none is too slow
    publish_url: str = ""
    keep_publications: int = Field(default=30, ge=1, le=36500)
    metrics_path: Path | None = None
    site_dir: str = ""
    site_url: str = ""
    mcp_token: SecretStr | None = None
    alert_webhook_url: SecretStr | None = None
    stale_after_days: int | None = Field(default=None, ge=0)
    row_loss_pct: float = Field(default=1.0, ge=0, le=100)
    env: str = ""
    # which variant of the warehouse, beside the real one; set by for_sample, in_environment, as_of
    variant: str = Field(default="", exclude=True)

    @model_validator(mode="before")
    @classmethod
    def _with_addresses(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Read the sources' addresses; only the registry knows their variables."""
        environment = {name.upper(): value.strip() for name, value in os.environ.items()}
        defaults = {_field(name): url for name, url in registry.address_variables().items()}
        values, errors = _plain(values)
        given = {
            name: values.get(name) or environment.get(PREFIX + name.upper()) or url
            for name, url in defaults.items()
        }
        for name, url in given.items():
            try:
                given[name] = publisher_address(url)
            except ValueError as exc:
                errors.append(f"{PREFIX}{name.upper()}: {exc}")
        if errors:
            raise ValueError("; ".join(errors))
        if unknown := values.keys() - cls.model_fields.keys() - given.keys():
            raise ValueError(f"there is no setting {', '.join(sorted(unknown))}")
        return values | given

    @field_validator("env")
    @classmethod
    def _nameable(cls, name: str) -> str:
        if name and (error := env_name_error(name)):
            raise ValueError(error)
        return name

    @field_validator("enabled_sources")
    @classmethod
    def _known_sources(cls, names: str) -> str:
        for name in _listed(names):
            if name not in registry.sources():
                known = ", ".join(registry.sources())
                raise ValueError(f"there is no source {name}; there are {known}")
        return names

    @field_validator("duckdb_path", "postgres_dir", "spark_dir", "work_dir", "metrics_path")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        if path and begins_as_address(str(path)):
            raise ValueError(f"give a path, not an address; if it is one, write ./{path}")
        return path and whole_path(path)

    @field_validator("site_dir")
    @classmethod
    def _absolute_site(cls, folder: str) -> str:
        if not folder or folder.lower() == NO_SITE:
            return folder
        if begins_as_address(folder):
            raise ValueError("give a folder, not an address: docs/site.md says how to publish it")
        return str(whole_path(Path(folder)))

    @field_validator("work_dir")
    @classmethod
    def _without_percent(cls, path: Path) -> Path:
        if "%" in str(path):
            raise ValueError("name a folder whose path has no %, which dlt takes for a placeholder")
        return path

    @field_validator("duckdb_path")
    @classmethod
    def _tells_from_schemas(cls, path: Path) -> Path:
        if error := name_error(path):
            raise ValueError(error)
        return path

    @field_validator("mcp_token")
    @classmethod
    def _cannot_be_guessed(cls, token: SecretStr | None) -> SecretStr | None:
        if token and len(token.get_secret_value()) < SHORTEST_TOKEN:
            raise ValueError(
                f"give at least {SHORTEST_TOKEN} characters, as openssl rand -hex 32 does"
            )
        return token

    @field_validator("publish_url")
    @classmethod
    def _absolute_publications(cls, url: str) -> str:
        if url.lower() in ("", PUBLISH_NOTHING):
            return url.lower()
        return store_address(url)

    @field_validator("lake_url")
    @classmethod
    def _absolute_lake(cls, url: str) -> str:
        return store_address(url)

    @model_validator(mode="after")
    def _store_can(self) -> Self:
        """Refuse settings that the lake's storage cannot honour, before anything is written."""
        scheme = urlsplit(self.lake_url).scheme
        url = self.publications_url or ""
        # the files' own folders are named so
        if {"service", "source_month"} & {part.partition("=")[0] for part in url.split("/")}:
            raise ValueError(
                "MEDALLION_PUBLISH_URL: choose folders that are not named service=... or"
                " source_month=..., or publish nothing by off"
            )
        lake, published = f"{self.lake_url}/", f"{self.publish_url}/"
        if self.publish_url and (lake.startswith(published) or published.startswith(lake)):
            raise ValueError(
                "MEDALLION_PUBLISH_URL and MEDALLION_LAKE_URL lie in each other; give each a place"
                " of its own"
            )
        if (folder := local_path(url)) and self.duckdb_path.is_relative_to(folder):
            raise ValueError(
                "MEDALLION_DUCKDB_PATH is in the folder of MEDALLION_PUBLISH_URL, whose files"
                " would replace it; give each a place of its own"
            )
        if scheme == "file" and (self.lake_encryption or self.lake_storage_class):
            raise ValueError(
                "MEDALLION_LAKE_ENCRYPTION and MEDALLION_LAKE_STORAGE_CLASS are for a lake in a"
                " bucket; this one is a folder"
            )
        if scheme == "gs" and self.lake_storage_class:
            raise ValueError(
                "MEDALLION_LAKE_STORAGE_CLASS cannot be set object by object in gs://: set it on"
                " the bucket, by gcloud storage buckets update --default-storage-class"
            )
        if scheme == "az" and self.lake_storage_class.capitalize() not in ("", *AZURE_TIERS):
            raise ValueError(
                "MEDALLION_LAKE_STORAGE_CLASS is Hot, Cool or Cold in az://, which can be read at"
                " once"
            )
        if self.lake_storage_class.upper() in ("GLACIER", "DEEP_ARCHIVE"):
            raise ValueError(
                "MEDALLION_LAKE_STORAGE_CLASS must be one that can be read at once, such as"
                " STANDARD_IA or GLACIER_IR"
            )
        return self

    def publisher(self, source: Source) -> Publisher:
        """A source, at the addresses of these settings."""
        addresses = self.model_extra or {}
        own = {d.name: addresses[_field(d.url_variable)] for d in source.datasets if d.url_variable}
        return Publisher(
            source,
            addresses[_field(source.url_variable)],
            {name: url for name, url in own.items() if url},
            self.least_download_rate,
        )

    def publishers(self, datasets: Sequence[str] = ()) -> list[Publisher]:
        """The sources of the datasets; without datasets, the enabled sources."""
        wanted = {registry.source_of(name).name for name in datasets} or set(
            _listed(self.enabled_sources)
            or (source.name for source in registry.sources().values() if source.enabled)
        )
        return [self.publisher(s) for name, s in registry.sources().items() if name in wanted]

    @property
    def dlt_dir(self) -> Path:
        """The folder of dlt's working folders, each of which exists for one load."""
        return self.work_dir / "dlt"

    @property
    def spool_dir(self) -> Path:
        """The folder of downloads until they are landed."""
        return self.work_dir / "spool"

    @property
    def publications_url(self) -> str | None:
        """The address of the publications of this warehouse; None if nothing is published."""
        if self.publish_url == PUBLISH_NOTHING or AS_OF in self.variant:
            return None
        beside = f"-{self.variant}" if self.variant else ""
        if self.publish_url:
            return f"{self.publish_url}{beside}"
        if self.target != "duckdb":
            return None
        # two files in one folder do not publish at one address
        name = self.duckdb_path.name.partition(".")[0]
        own = "" if name == "warehouse" else f"-{name}"
        return self.duckdb_path.with_name(f"published{own}{beside}").as_uri()

    @property
    def site_path(self) -> Path | None:
        """The folder of the site that is made from this warehouse; None if none is made."""
        if self.site_dir.lower() == NO_SITE:
            return None
        folder = Path(self.site_dir) if self.site_dir else self.duckdb_path.with_name("site")
        return folder.with_name(f"{folder.name}-{self.variant}") if self.variant else folder

    @property
    def metrics_file(self) -> Path:
        """The file of the last run's metrics."""
        return self.metrics_path or self.work_dir / "metrics.prom"

    @property
    def run_command(self) -> str:
        """The command that builds the warehouse of these settings."""
        beside, _, day = self.variant.partition(AS_OF)
        sample = " --sample" if beside.startswith("sample") else ""
        env = f" --env {self.environment}" if self.environment else ""
        as_of = f" --as-of {day}" if day else ""
        return f"medallion run{sample}{env}{as_of}"

    @property
    def environment(self) -> str:
        """The environment whose warehouse this is; empty for the main one."""
        found = re.search(f"{ENV_VARIANT}({ENV_NAME})", self.variant)
        return found[1] if found else ""

    @property
    def is_environment(self) -> bool:
        """Whether this is an environment's own warehouse, not one of a past day in it."""
        return bool(self.environment) and AS_OF not in self.variant

    def for_sample(self, published: Path) -> Self:
        """The same settings for the generated sample, with its own lake and warehouse."""
        addresses: dict[str, str] = {}
        for source in registry.sources().values():
            if source.sample:
                addresses[_field(source.url_variable)] = published.as_uri()
                addresses |= {_field(d.url_variable): "" for d in source.datasets if d.url_variable}
        return self.model_copy(
            update={
                **addresses,
                "lake_url": f"{self.lake_url}-sample",
                **self._beside("sample"),
            }
        )

    def in_environment(self, name: str | None = None) -> Self:
        """The same settings for an environment: a warehouse of its own over the same lake.

        By default the one that ``MEDALLION_ENV`` names. An empty name means the main warehouse.
        """
        name = self.env if name is None else name
        if not name:
            return self
        if error := env_name_error(name):
            raise UsageError(f"{name!r} cannot name an environment: {error}.")
        assert not self.variant or self.variant == "sample", "it is applied once"
        return self.model_copy(update=self._beside(f"{ENV_VARIANT}{name}"))

    def as_of(self, day: date) -> Self:
        """The same settings for a warehouse of what was known at the end of ``day``."""
        return self.model_copy(update=self._beside(f"{AS_OF}{day}"))

    def _beside(self, variant: str) -> dict[str, Path | str]:
        path = self.duckdb_path
        return {
            "duckdb_path": path.with_suffix(f".{variant}{path.suffix}"),
            "variant": "-".join(filter(None, [self.variant, variant])),
        }


def load_settings() -> Settings:
    """Read the settings, and take the environment that they name."""
    return read_settings().in_environment()


def read_settings() -> Settings:
    """Read the settings of the main warehouse, whatever environment they name.

    Raises ``UsageError`` where a ``.env`` cannot be read, or where variables are wrong; it names
    each variable, never its value.
    """
    read_env_files()
    _refuse_unknown_names()
    try:
        return Settings()
    except ValidationError as exc:
        errors = "; ".join(
            # a message about several settings names them itself
            (f"{PREFIX}{str(e['loc'][0]).upper()}: " if e["loc"] else "")
            + e["msg"].removeprefix("Value error, ")
            for e in exc.errors()
        )
        raise UsageError(f"Wrong settings: {errors}. See .env.example.") from None


def dataset_names() -> tuple[str, ...]:
    """The datasets of every source; a ``.env`` may name further sources.

    Raises ``UsageError`` where a ``.env`` cannot be read or a source is declared wrongly.
    """
    read_env_files()
    return tuple(registry.datasets())


def read_env_files() -> None:
    """Add the variables of the ``.env`` files to the environment where it has none."""
    # libpq and the cloud SDKs read their variables from the environment only
    try:
        here = Path.cwd()
    except OSError as exc:
        raise UsageError(
            f"The working directory cannot be used: {exc.strerror}. Change to a folder that"
            " exists, and run the same again."
        ) from exc
    for path in (here / ".env", PROJECT_ROOT / ".env"):
        try:
            load_dotenv(path)
        except OSError as exc:
            raise UsageError(f"Cannot read {path}: {exc.strerror}.") from exc
        except ValueError:  # its message and cause would show the file's content
            raise UsageError(f"Cannot read {path}: it is no plain text in UTF-8.") from None


def _refuse_unknown_names() -> None:
    """Refuse unknown names: a misspelled variable would silently leave its setting unchanged."""
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields} - {"MEDALLION_VARIANT"}
    known |= registry.address_variables().keys()
    errors = []
    for name in sorted(os.environ):
        upper = name.upper()
        if not upper.startswith("MEDALLION_") or upper.startswith(FOR_TESTS):
            continue
        if upper not in known | FOR_OTHERS:
            nearest = get_close_matches(upper, sorted(known), n=1)
            meant = f": do you mean {nearest[0]}?" if nearest else "."
            errors.append(f"{name} is no setting{meant}")
    if errors:
        raise UsageError(f"Wrong settings: {' '.join(errors)} See .env.example for all of them.")


def _plain(values: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Values without the blanks around them, and an error for each that stands in quotes.

    Shells and ``.env`` take both away; Docker's ``--env-file`` keeps them. Then a folder would be
    another one, and nobody would see it. Secrets stay as they are.
    """
    plain: dict[str, Any] = {}
    errors = []
    for name, value in values.items():
        field = Settings.model_fields.get(name)
        if not isinstance(value, str) or (field and SecretStr in get_args(field.annotation)):
            plain[name] = value
            continue
        text = value.strip()
        if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
            errors.append(f"{PREFIX}{name.upper()}: leave out the quotes around its value")
        if text or not value:  # blanks alone are as good as none
            plain[name] = text
    return plain, errors


def _field(variable: str) -> str:
    """The field of the settings that an environment variable sets."""
    return variable.removeprefix(PREFIX).lower()


def _listed(names: str) -> list[str]:
    return [name.strip() for name in names.split(",") if name.strip()]
