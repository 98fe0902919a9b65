"""Withdraw a version: it is passed over, with a reason, until that is taken back.

The version before it is current again; without one, its file is missing. The lake keeps its bytes.
"""

from dataclasses import dataclass

from ingestion.errors import UsageError
from ingestion.lake.catalog import Catalog, FileVersion
from ingestion.lake.decision import Decision, decide
from ingestion.lake.file_version import Key
from ingestion.lake.storage.store import open_lake
from ingestion.locks import turns_with_files
from ingestion.progress import Progress, Quiet
from ingestion.settings import Settings
from ingestion.sources.base import name_of


@dataclass(frozen=True)
class Withdrawn:
    """A version that is withdrawn now, or is not any more, and the version that is current."""

    version: FileVersion
    decision: Decision
    is_new: bool  # false where it had been decided before
    current: FileVersion | None


def withdraw(
    settings: Settings,
    key: Key,
    short_id: str | None,
    reason: str,
    progress: Progress | None = None,
) -> Withdrawn:
    """Withdraw a version of a published file: the current one if none is named.

    Raises ``UsageError`` where there is no such version, or it is not in use for another reason.
    """
    with turns_with_files(settings, [name_of(*key)], progress or Quiet()):
        catalog = Catalog(open_lake(settings))
        version = _named(catalog, key, short_id) if short_id else _current(catalog, key)
        if version is None:
            raise UsageError(f"No version of {name_of(*key)} is in use. {_versions(catalog, key)}")
        if version.status == "quarantined":
            raise UsageError(
                f"{version.file_id[:8]} of {version.name} is in quarantine, and so not in use."
            )
        decided = catalog.decided(version)
        # what was read out of it first: if this is killed, it is done again
        for derived in catalog.with_derived([version])[:0:-1]:
            if not catalog.decided(derived):
                catalog.decide(decide(derived, "withdrawn", reason))
        made = decided or catalog.decide(decide(version, "withdrawn", reason))
        return Withdrawn(version, made, decided is None, _current(catalog, key))


def take_back(
    settings: Settings,
    key: Key,
    short_id: str | None,
    reason: str,
    progress: Progress | None = None,
) -> Withdrawn:
    """Take back that a version is withdrawn: of the only such one if none is named.

    Raises ``UsageError`` where there is no such version, or it was forgotten.
    """
    with turns_with_files(settings, [name_of(*key)], progress or Quiet()):
        catalog = Catalog(open_lake(settings))
        if short_id:
            version = _named(catalog, key, short_id)
        else:
            found = [v for v in catalog.passed_over() if v.key == key and v.status == "withdrawn"]
            if not found:
                raise UsageError(f"No version of {name_of(*key)} is withdrawn.")
            if len(found) > 1:
                raise UsageError(
                    f"{len(found)} versions of {name_of(*key)} are withdrawn: name the one that is"
                    f" to be taken back. {_versions(catalog, key)}"
                )
            version = found[0]
        if version.status == "forgotten":
            raise UsageError(f"{version.file_id[:8]} of {version.name} was {version.error}.")
        if version.status != "withdrawn":
            raise UsageError(f"{version.file_id[:8]} of {version.name} is not withdrawn.")
        for derived in catalog.with_derived([version])[:0:-1]:
            if derived.status == "withdrawn":
                catalog.decide(decide(derived, "taken back", reason))
        made = catalog.decide(decide(version, "taken back", reason))
        return Withdrawn(version, made, True, _current(catalog, key))


def versions_named(catalog: Catalog, key: Key, short_id: str | None) -> list[FileVersion]:
    """The version of a published file that is named, or all of them."""
    if short_id:
        return [_named(catalog, key, short_id)]
    if found := [v for v in catalog.versions() if v.key == key]:
        return found
    raise UsageError(_versions(catalog, key))


def _named(catalog: Catalog, key: Key, short_id: str) -> FileVersion:
    found = [v for v in catalog.versions() if v.key == key and v.file_id.startswith(short_id)]
    if len(found) != 1:
        few = "Several versions" if found else "No version"
        raise UsageError(
            f"{few} of {name_of(*key)} begin with {short_id}. {_versions(catalog, key)}"
        )
    return found[0]


def _current(catalog: Catalog, key: Key) -> FileVersion | None:
    return next((v for v in catalog.current() if v.key == key), None)


def _versions(catalog: Catalog, key: Key) -> str:
    """Which versions of a published file there are."""
    found = [f"{v.file_id[:8]} ({v.status})" for v in catalog.versions() if v.key == key]
    return f"The lake has {', '.join(found) or f'no version of {name_of(*key)}'}."
