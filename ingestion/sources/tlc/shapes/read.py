"""The shapes of a shapefile and the grid over them, read in a separate process."""

import hashlib
from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ingestion.apart import UnreadableError, read_apart
from ingestion.errors import UntrustedFileError

RULES = 1  # raise it when the reader gives other rows for the same shapefile
SECONDS = 120


@cache
def reader() -> str:
    """What reads the shapes: another name means that it may give others."""
    libraries = ("pyshp", "pyproj", "shapely")
    return ", ".join(f"{name} {version(name)}" for name in libraries) + f" / {RULES}"


def check_shapes(path: Path) -> None:
    """Raise ``UntrustedFileError`` with the reason where no shapes can be read out of the file."""
    read_shapes(path)


@dataclass(frozen=True)
class _File:
    sha256: str
    path: Path = field(compare=False)


def read_shapes(path: Path) -> dict[str, Any]:
    """The shapes and the cells of a zipped shapefile, as the separate process gives them."""
    with path.open("rb") as file:
        return _read(_File(hashlib.file_digest(file, "sha256").hexdigest(), path))


# a new file is read to check it, and then for each dataset that is made of it
@lru_cache(maxsize=1)
def _read(file: _File) -> dict[str, Any]:
    try:
        found: dict[str, Any] = read_apart(
            "ingestion.sources.tlc.shapes.reader", file.path, "The shapefile", SECONDS
        )
    except UnreadableError as exc:
        raise UntrustedFileError(str(exc)) from exc
    if reason := found.get("reason"):
        raise UntrustedFileError(reason)
    return found


def write_table(columns: dict[str, list[Any]], types: dict[str, str], target: Path) -> None:
    """Write columns with their types as Parquet; the same columns give the same bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays = {
        name: pa.array(columns[name], pa.type_for_alias(kind)) for name, kind in types.items()
    }
    pq.write_table(pa.table(arrays), target, compression="zstd")
