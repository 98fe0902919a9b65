"""Sources that a ``source.toml`` declares: the file, and the source made from it.

A folder ``sample`` beside it holds a small sample, as the files that would be landed.
"""

import re
import shutil
import tomllib
from dataclasses import replace
from functools import partial
from pathlib import Path

from pydantic import ValidationError

from ingestion.errors import UsageError
from ingestion.sources.base import RESERVED, Source
from ingestion.sources.declaration import NAME, DeclaredSource
from ingestion.sources.documents.declared import DocumentsSource
from ingestion.sources.files.declared import FilesSource
from ingestion.sources.rest_api.declared import ApiSource
from ingestion.sources.sql_database.declared import SqlSource
from ingestion.sources.sql_words import WORDS_OF_SQL

# by kind, which is ``files`` if none is named
MODELS: dict[str, type[DeclaredSource]] = {
    "documents": DocumentsSource,
    "files": FilesSource,
    "rest_api": ApiSource,
    "sql_database": SqlSource,
}


def read_source(path: Path) -> Source:
    """The source that a ``source.toml`` declares; raises ``UsageError`` with file and key."""
    name = path.parent.name
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        model = MODELS[content.get("kind", "files")]
        declared = model.model_validate(content)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise UsageError(f"{path} cannot be read: {exc}. Write it as TOML.") from exc
    except (KeyError, TypeError):
        kinds = ", ".join(f"'{kind}'" for kind in MODELS)
        raise UsageError(f"{path} declares no source: kind: there are {kinds}.") from None
    except ValidationError as exc:
        errors = (
            f"{'.'.join(map(str, e['loc']))}: {e['msg'].removeprefix('Value error, ')}"
            for e in exc.errors(include_url=False, include_input=False)
        )
        raise UsageError(f"{path} declares no source: {'; '.join(errors)}.") from exc
    if not re.fullmatch(NAME, name) or name.startswith("pg_") or name in RESERVED | WORDS_OF_SQL:
        raise UsageError(
            f"{path.parent} cannot be a source's folder: its name is the schema of the read views,"
            " so it has small letters, digits and _ only, does not begin with pg_, and is neither a"
            f" word of SQL nor one of {', '.join(sorted(RESERVED))}."
        )
    source = declared.named(name)
    sample = path.parent / "sample"
    return replace(source, sample=partial(_publish, sample)) if sample.is_dir() else source


def _publish(sample: Path, folder: Path, _republished: bool) -> None:
    """Copy the files of a sample, but those that are there: they have a modification time."""
    for path in sorted(p for p in sample.rglob("*") if p.is_file()):
        copy = folder / path.relative_to(sample)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if not copy.exists() or copy.read_bytes() != path.read_bytes():
            shutil.copyfile(path, copy)
