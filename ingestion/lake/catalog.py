"""The lake's catalog: an append-only log of landings, kept beside the files.

Each landing is one small JSON object. It is written whole, and only after the file's bytes were
read back and found equal. The log alone gives the versions of a month, the current one, and the one
that was current on a past day. So a record that cannot be read is damage: if it were passed over,
months would be missing without a word.
"""

from collections import defaultdict
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import cached_property

from ingestion.errors import MedallionError
from ingestion.lake.file_version import (
    CATALOG_DIR,
    SHORT_ID,
    FileVersion,
    Key,
    file_key,
    from_record,
    is_sealed,
    key_of,
    record_name,
    to_record,
    version_name,
)
from ingestion.lake.storage.store import Store
from ingestion.sources import registry
from ingestion.sources.base import Dataset, PublishedFile, name_of

__all__ = ["Catalog", "FileVersion", "file_key", "key_of", "name_of", "version_name"]

# No warning while clocks differ by less: the catalog is asked about whole days.
CLOCKS_APART = timedelta(days=1)


@dataclass(frozen=True)
class Unreadable:
    """A catalog record that cannot be used, and the reason."""

    name: str
    reason: str


def record_remedy(name: str) -> str:
    """How to restore the landing of a damaged record."""
    return (
        "restore it from the bucket's versions or a backup; or delete it and, while its version is"
        f" still published, land it again: {land_again(name)}"
    )


def land_again(name: str) -> str:
    """The command that lands the file of an object or a record again."""
    key = key_of(name)
    dataset, month, _ = key or (name, None, None)
    months = f" --from {month:%Y-%m} --to {month:%Y-%m}" if month else ""
    return f"medallion land --dataset {dataset}{months}"


class Catalog:
    """The landings of one lake, oldest first."""

    def __init__(self, lake: str | Store, in_part: bool = False):
        """``lake`` is an address; to write as the settings say, give the open lake itself.

        Where a record cannot be read, every method that needs the log raises ``MedallionError``.
        With ``in_part`` the readable records are used instead.
        """
        self._store = lake if isinstance(lake, Store) else Store(lake)
        self.lake_url = self._store.url
        self._in_part = in_part

    @cached_property
    def landings(self) -> list[FileVersion]:
        """Every landing, oldest first. Costs one listing, and a GET for each record."""
        if self.unreadable and not self._in_part:
            first, *others = self.unreadable
            more = f", and {len(others)} more that medallion verify lists" if others else ""
            raise MedallionError(
                f"The record {first.name} of the lake {self.lake_url} cannot be read"
                f" ({first.reason}){more}. Without it months would be missing:"
                f" {record_remedy(first.name)}."
            )
        parsed = [
            landing for _, landing in self._parsed.values() if isinstance(landing, FileVersion)
        ]
        return sorted(parsed, key=lambda landing: landing.landed_at)

    @cached_property
    def unreadable(self) -> list[Unreadable]:
        """Catalog records that cannot be used. Files that others put there are left out."""
        return [
            Unreadable(name, landing)
            for name, (_, landing) in self._parsed.items()
            if isinstance(landing, str)
        ]

    @property
    def changed(self) -> list[str]:
        """The names of records whose content has changed since they were written."""
        return [
            name
            for name, (content, landing) in self._parsed.items()
            if isinstance(landing, FileVersion) and not is_sealed(name, content, landing)
        ]

    @cached_property
    def _parsed(self) -> dict[str, tuple[bytes, FileVersion | str]]:
        names = [name for name in self._store.names(CATALOG_DIR) if key_of(name)]
        contents = self._store.read_all(names)
        return {n: (c, from_record(n, c)) for n, c in zip(names, contents, strict=True)}

    def ahead_of(self, now: datetime) -> list[FileVersion]:
        """Landings dated long after ``now``, and all ordered after them: some clock was wrong."""
        return [x for x in self.landings if x.landed_at > now + CLOCKS_APART]

    def append(self, landing: FileVersion) -> FileVersion:
        """Write one landing; return it as ordered: after all others, whatever the clock says."""
        if self.landings and landing.landed_at <= self.landings[-1].landed_at:
            after = self.landings[-1].landed_at + timedelta(microseconds=1)
            landing = replace(landing, landed_at=after)
        self._store.write(record_name(landing), to_record(landing))
        self.landings.append(landing)
        for derived in ("_newest", "_versions"):
            self.__dict__.pop(derived, None)
        return landing

    def newest(
        self, dataset: str, month: date | None, item: str | None = None
    ) -> FileVersion | None:
        """The latest landing of one published file, trusted or not."""
        return self._newest.get((dataset, month, item))

    @cached_property
    def _newest(self) -> dict[Key, FileVersion]:
        return {landing.key: landing for landing in self.landings}

    def holds(self, published: PublishedFile) -> bool:
        """Whether the file's latest landing has the same address and the same fingerprint."""
        last = self.newest(*published.key)
        if last is None or last.source_url != published.url:
            return False
        if published.etag:
            return last.etag == published.etag
        # without an etag, both date and length must be known, and both must agree
        return (
            published.last_modified is not None
            and last.last_modified == published.last_modified
            and last.bytes == published.bytes
        )

    def version(self, key: Key, file_id: str) -> FileVersion | None:
        """One file version: when it first landed, and where it was last seen."""
        return self._versions.get((*key, file_id))

    def name_for(self, key: Key, file_id: str) -> str:
        """The name of a file version: its present one, or for a new version an unused one."""
        seen = self.version(key, file_id)
        if seen:
            return seen.table_name
        others = {x.table_name for x in self.landings if x.key == key}
        names = (version_name(key, file_id, n) for n in range(SHORT_ID, 65))
        return next(name for name in names if name not in others)

    def versions(self) -> list[FileVersion]:
        """One landing for each file version, in the order in which they first landed.

        ``landed_at`` is of the version's first landing; address and fingerprint are of its last.
        """
        return list(self._versions.values())

    @cached_property
    def _versions(self) -> dict[tuple[str, date | None, str | None, str], FileVersion]:
        merged: dict[tuple[str, date | None, str | None, str], FileVersion] = {}
        for landing in self.landings:
            identity = (*landing.key, landing.file_id)
            first = merged.get(identity)
            merged[identity] = replace(landing, landed_at=first.landed_at) if first else landing
        return merged

    def as_of(self, day: date) -> "Catalog":
        """The catalog as it was at the end of ``day`` (UTC), for reading only."""
        then = copy(self)
        for derived in ("_newest", "_versions"):
            then.__dict__.pop(derived, None)
        then.landings = [x for x in self.landings if _day(x) <= day]
        return then

    def current(self, as_of: date | None = None) -> list[FileVersion]:
        """The latest trusted version of each file; with ``as_of``, at the end of that day (UTC)."""
        if as_of:
            return self.as_of(as_of).current()
        last = filter(None, (_trusted(landings) for landings in self._by_file.values()))
        found = [self._versions[*landing.key, landing.file_id] for landing in last]
        return sorted(found, key=lambda x: (x.dataset, x.month or date.min, x.item or ""))

    def days_current(self) -> list[tuple[FileVersion, date, date]]:
        """Each version that was current at the end of some day: version, first day, day after last.

        Each is as it was landed then: a version that is in quarantine today may have been in use.
        """
        found = []
        for landings in self._by_file.values():
            days = list(dict.fromkeys(_day(landing) for landing in landings))
            for i, day in enumerate(days):
                then = _trusted([landing for landing in landings if _day(landing) <= day])
                until = days[i + 1] if i + 1 < len(days) else date.max
                if then:
                    found.append((then, day, until))
        return found

    @property
    def _by_file(self) -> dict[Key, list[FileVersion]]:
        found = defaultdict(list)
        for landing in self.landings:
            found[landing.key].append(landing)
        return found

    def dataset(self, name: str) -> Dataset:
        """A dataset; if its source declares no columns, with those of every landed version."""
        dataset = registry.datasets()[name]
        if dataset.declares_columns:
            return dataset
        landed = [x for x in self.landings if x.dataset == name and x.status == "landed"]
        return dataset.with_columns(x.columns for x in landed)

    def quarantined(self) -> list[FileVersion]:
        """The latest landing of each file whose latest landing is in quarantine."""
        return [x for x in self._newest.values() if x.status == "quarantined"]


def _trusted(landings: Sequence[FileVersion]) -> FileVersion | None:
    """From the landings of one file, the last one whose version is still trusted."""
    status = {landing.file_id: landing.status for landing in landings}
    return next((x for x in reversed(landings) if status[x.file_id] == "landed"), None)


def _day(landing: FileVersion) -> date:
    return landing.landed_at.astimezone(UTC).date()


def clock_warning(ahead: Sequence[FileVersion], now: datetime) -> str:
    """The warning about landings dated long after ``now``."""
    first = ahead[0]
    return (
        f"{len(ahead)} landings in the catalog are ahead of this machine's clock, from {first.name}"
        f" at {first.landed_at:%Y-%m-%d %H:%M} UTC on, where it is {now:%Y-%m-%d %H:%M} here: what"
        " is landed now counts as landed after them, and is not known as of the days before. Set"
        " this clock; or, where the one that they were landed by was wrong, do as medallion verify"
        " says"
    )
