"""Schema drift: how the columns of a file differ from those of its era."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from ingestion.errors import UntrustedFileError
from ingestion.sources.base import TEXT, Column, Dataset, Era


@dataclass(frozen=True)
class Checked:
    """The content of a trusted file: row count, columns as (name, type), and remarks on drift.

    A document has neither rows nor columns.
    """

    row_count: int | None
    columns: tuple[tuple[str, str], ...]
    remarks: tuple[str, ...] = field(default=())


def compare(
    dataset: Dataset, era: Era, columns: Sequence[tuple[str, str]], may_lack: bool = False
) -> tuple[str, ...]:
    """Compare a file's columns with its era: raise for what is missing, remark on what is new.

    With ``may_lack`` a missing column that is not required has no values, and is no remark.
    """
    found = {dataset.read_name(name): (name, file_type) for name, file_type in columns}
    expected = {dataset.read_name(c.name): c for c in era.columns}
    missing = [c.name for name, c in expected.items() if c.required and name not in found]
    if missing:
        raise UntrustedFileError(f"it has no column {', '.join(missing)}")
    refuse_alike([name for name, _ in columns], dataset.read_name)
    if may_lack:
        expected = {name: column for name, column in expected.items() if name in found}
    return tuple(_remarks(dataset, expected, found))


def refuse_alike(names: Sequence[str], read_name: Callable[[str], str]) -> None:
    """Raise ``UntrustedFileError`` where several columns have the same read name, and say why."""
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(read_name(name), []).append(name)
    if errors := [_alike(same) for same in alike.values() if len(same) > 1]:
        raise UntrustedFileError("; ".join(errors))


def _alike(names: Sequence[str]) -> str:
    first = names[0]
    if not first.strip():
        return f"{len(names)} columns have a blank name"
    if all(name == first for name in names):
        return f"{len(names)} columns have the same name: {first}"
    if all(name.lower() == first.lower() for name in names):
        return f"columns that differ only by case: {', '.join(names)}"
    if all(name.strip().lower() == first.strip().lower() for name in names):
        return f"columns that differ only by case or blanks: {', '.join(map(repr, names))}"
    return f"columns that are read under one name: {', '.join(names)}"


def _remarks(
    dataset: Dataset, expected: dict[str, Column], found: dict[str, tuple[str, str]]
) -> Iterator[str]:
    for name, column in expected.items():
        if name not in found:
            yield f"column {column.name} is not there any more"
        elif found[name][1] not in column.file_types | {"" if dataset.from_files else TEXT}:
            yield (
                f"column {found[name][0]} is {found[name][1]}, where"
                f" {' or '.join(sorted(column.file_types))} is known"
            )
    for name, (spelled, file_type) in found.items():
        if name in dataset.read_schema:
            continue
        if dataset.from_files:
            if dataset.read_schema:
                yield f"new column {spelled} ({file_type})"
        else:
            yield f"unknown column {spelled} ({file_type}) is kept in raw and not read"
