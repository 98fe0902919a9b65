"""Write the staging model of each dataset of a source, and the dbt source that it reads."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from ingestion.errors import MedallionError, UsageError
from ingestion.lake.catalog import Catalog
from ingestion.schema_on_read import ORIGIN
from ingestion.settings import PROJECT_ROOT, Settings
from ingestion.sources.base import Dataset, Source

STAGING = PROJECT_ROOT / "dbt_project" / "models" / "staging"
_DESCRIPTIONS = {
    "source_month": "The month of the row's file; null for a dataset that is one file.",
    "file_key": "The first 15 hex digits of the sha256 of the row's file, as a number.",
    "row_ordinal": "The row's place in its file, from 0.",
}


@dataclass(frozen=True)
class Scaffold:
    """The files that were written, and the existing files that were left unchanged.

    ``undeclared`` has the datasets whose columns are known from landed files only, with the line of
    ``source.toml`` that declares these. Without it, their read views have no columns where nothing
    of them is landed, and their models cannot be built.
    """

    written: list[Path]
    kept: list[Path]
    undeclared: dict[str, str]


def scaffold(settings: Settings, source: Source, folder: Path | None = None) -> Scaffold:
    """Write a model and its ``.yml`` for each dataset into ``folder/<source>``.

    The default folder is the dbt project's staging folder. Existing files are never overwritten.
    Raises ``UsageError`` if the columns of a dataset are unknown, and ``MedallionError`` if a file
    cannot be written.
    """
    catalog = Catalog(settings.lake_url)
    datasets = [catalog.dataset(dataset.name) for dataset in source.datasets if dataset.has_rows]
    if unknown := [d.name for d in datasets if not d.read_schema]:
        raise UsageError(
            f"The columns of {', '.join(unknown)} are not known yet: declare them, or land one file"
            f" of each: medallion land --dataset {unknown[0]}"
        )
    within = (folder or STAGING) / source.name
    files = {}
    for dataset in datasets:
        files[within / f"_{source.name}__{dataset.name}.yml"] = _yml(source, dataset)
        files[within / f"{_model(dataset)}.sql"] = _sql(dataset)
    written, kept = [], []
    try:
        within.mkdir(parents=True, exist_ok=True)
        for path, text in files.items():
            try:
                with path.open("x", encoding="utf-8") as file:
                    file.write(text)
            except FileExistsError:
                kept.append(path)
            else:
                written.append(path)
    except OSError as exc:
        raise MedallionError(f"Cannot write to {within}: {exc.strerror}.") from exc
    return Scaffold(written, kept, {d.name: _declaration(d) for d in datasets if d.from_files})


def _declaration(dataset: Dataset) -> str:
    columns = (
        f"{name if re.fullmatch('[A-Za-z0-9_-]+', name) else json.dumps(name)} = {json.dumps(kind)}"
        for name, kind in dataset.read_schema.items()
    )
    return f"columns = {{ {', '.join(columns)} }}"


def _model(dataset: Dataset) -> str:
    return f"stg_{dataset.source}__{dataset.name}"


def _columns(dataset: Dataset) -> dict[str, str]:
    """Each column of the read view as SQL, and its name in the model."""
    return {
        _quoted(name): re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_").lower() or "unnamed"
        for name in (*ORIGIN, *dataset.read_schema)
    }


def _quoted(name: str) -> str:
    if re.fullmatch(r"[a-z_][a-z0-9_]*", name):
        return name
    return '"' + name.replace('"', '""') + '"'


def _sql(dataset: Dataset) -> str:
    columns = ",\n".join(
        f"    {column}" if column == name else f"    {column} as {name}"
        for column, name in _columns(dataset).items()
    )
    reads = f"{{{{ source('{dataset.source}', '{dataset.view}') }}}}"
    return f"""\
-- Grain: one row of {dataset.name} as published.

with {dataset.name} as (

    select * from {reads}

)

select
{columns}
from {dataset.name}
"""


def _yml(source: Source, dataset: Dataset) -> str:
    required = {
        dataset.read_name(c.name) for era in dataset.eras for c in era.columns if c.required
    }
    columns = []
    for published, (column, name) in zip(
        (*ORIGIN, *dataset.read_schema), _columns(dataset).items(), strict=True
    ):
        said = _DESCRIPTIONS.get(published, f"{published}, as published.")
        columns.append(f"      - name: {name}\n        description: {_text(said)}")
        if column in ("file_key", "row_ordinal") or published in required:
            columns.append("        data_tests:\n          - not_null")
    about = f"{dataset.name} of {source.title}, as published."
    grain = "Grain: one row of a published file."
    listed = "\n".join(columns)
    return f"""\
version: 2

sources:
  - name: {source.name}
    schema: {source.name}
    tables:
      - name: {dataset.view}
        description: {_text(f"{about} {grain}")}

models:
  - name: {_model(dataset)}
    description: {_text(f"{about} {grain}")}
    columns:
{listed}
"""


def _text(words: str) -> str:
    return '"' + words.replace("\\", "\\\\").replace('"', '\\"') + '"'
