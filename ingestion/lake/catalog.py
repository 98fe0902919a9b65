"""The lake's catalog: an append-only log of what was landed, kept beside the bytes.

Each landing is one small JSON object, written whole, and only after the bytes it speaks of were
read back and found equal. The versions of a month, which of them is current, and which was current
on a past day all follow from the log; nothing else need survive. So a record that cannot be read is
damage: without it months would be missing, and nobody told.
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
    Key,
    Landing,
    file_key,
    from_record,
    is_sealed,
    key_of,
    name_of,
    record_name,
    to_record,
    version_name,
)
from ingestion.lake.storage.store import Store
from ingestion.sources.base import PublishedFile

__all__ = ["Catalog", "Landing", "file_key", "key_of", "name_of", "version_name"]

# So far may clocks differ and nothing be said: past days are told apart by the day.
CLOCKS_APART = timedelta(days=1)


@dataclass(frozen=True)
class Unreadable:
    """A record of ours that cannot be believed, and why."""

    name: str
    reason: str


def record_remedy(name: str) -> str:
    """How to have the landing of a damaged record back."""
    return (
        "restore it from the bucket's versions or a backup; or delete it and, while its version is"
        f" still published, land it again: {land_again(name)}"
    )


def land_again(name: str) -> str:
    """The command that lands the file of an object or a record anew."""
    key = key_of(name)
    dataset, month = key or (name, None)
    months = f" --from {month:%Y-%m} --to {month:%Y-%m}" if month else ""
    return f"medallion land --dataset {dataset}{months}"


class Catalog:
    """The landings of one lake, oldest first."""

    def __init__(self, lake: str | Store, in_part: bool = False):
        """``lake`` is an address, or the lake itself where it is written to as is set.

        Where a record cannot be read, all that follows from the log raises ``MedallionError``; with
        ``in_part`` it follows from the records that can be.
        """
        self._store = lake if isinstance(lake, Store) else Store(lake)
        self.lake_url = self._store.url
        self._in_part = in_part

    @cached_property
    def landings(self) -> list[Landing]:
        """Every landing, oldest first: one listing, and a GET each."""
        if self.unreadable and not self._in_part:
            first, *others = self.unreadable
            more = f", and {len(others)} more that medallion verify lists" if others else ""
            raise MedallionError(
                f"The record {first.name} of the lake {self.lake_url} cannot be read"
                f" ({first.reason}){more}. Without it months would be missing:"
                f" {record_remedy(first.name)}."
            )
        parsed = [landing for _, landing in self._parsed.values() if isinstance(landing, Landing)]
        return sorted(parsed, key=lambda landing: landing.landed_at)

    @cached_property
    def unreadable(self) -> list[Unreadable]:
        """Records of ours that cannot be believed; strangers' files are none."""
        return [
            Unreadable(name, landing)
            for name, (_, landing) in self._parsed.items()
            if isinstance(landing, str)
        ]

    @property
    def changed(self) -> list[str]:
        """The names of records that no longer say what was written to them."""
        return [
            name
            for name, (content, landing) in self._parsed.items()
            if isinstance(landing, Landing) and not is_sealed(name, content, landing)
        ]

    @cached_property
    def _parsed(self) -> dict[str, tuple[bytes, Landing | str]]:
        names = [name for name in self._store.names(CATALOG_DIR) if key_of(name)]
        contents = self._store.read_all(names)
        return {n: (c, from_record(n, c)) for n, c in zip(names, contents, strict=True)}

    def ahead_of(self, now: datetime) -> list[Landing]:
        """Landings from long after ``now``, and what counts after them: some clock was wrong."""
        return [x for x in self.landings if x.landed_at > now + CLOCKS_APART]

    def append(self, landing: Landing) -> Landing:
        """Write one landing; return it as it counts: after all others, whatever the clock says."""
        if self.landings and landing.landed_at <= self.landings[-1].landed_at:
            after = self.landings[-1].landed_at + timedelta(microseconds=1)
            landing = replace(landing, landed_at=after)
        self._store.write(record_name(landing), to_record(landing))
        self.landings.append(landing)
        for derived in ("_newest", "_versions"):
            self.__dict__.pop(derived, None)
        return landing

    def newest(self, dataset: str, month: date | None) -> Landing | None:
        """The last landing of one published file, trusted or not."""
        return self._newest.get((dataset, month))

    @cached_property
    def _newest(self) -> dict[Key, Landing]:
        return {landing.key: landing for landing in self.landings}

    def holds(self, published: PublishedFile) -> bool:
        """Whether the last landing of this file had the same fingerprint from the same address."""
        last = self.newest(published.dataset, published.month)
        if last is None or last.source_url != published.url:
            return False
        if published.etag:
            return last.etag == published.etag
        # without an etag, a date and a length must both be there and both agree
        return (
            published.last_modified is not None
            and last.last_modified == published.last_modified
            and last.bytes == published.bytes
        )

    def version(self, dataset: str, month: date | None, file_id: str) -> Landing | None:
        """One content of one file: when it first came, and where it was seen last."""
        return self._versions.get((dataset, month, file_id))

    def name_for(self, dataset: str, month: date | None, file_id: str) -> str:
        """The name of a content: the one that it has, or one that no other content has."""
        seen = self.version(dataset, month, file_id)
        if seen:
            return seen.table_name
        others = {x.table_name for x in self.landings if x.key == (dataset, month)}
        names = (version_name(dataset, month, file_id, n) for n in range(SHORT_ID, 65))
        return next(name for name in names if name not in others)

    def versions(self) -> list[Landing]:
        """One landing for each content of each file, in the order they first came.

        ``landed_at`` is when the content first came; the address and fingerprint are the last.
        """
        return list(self._versions.values())

    @cached_property
    def _versions(self) -> dict[tuple[str, date | None, str], Landing]:
        merged: dict[tuple[str, date | None, str], Landing] = {}
        for landing in self.landings:
            identity = (*landing.key, landing.file_id)
            first = merged.get(identity)
            merged[identity] = replace(landing, landed_at=first.landed_at) if first else landing
        return merged

    def as_of(self, day: date) -> "Catalog":
        """The catalog as it was at the end of ``day`` (UTC), to be read only."""
        then = copy(self)
        for derived in ("_newest", "_versions"):
            then.__dict__.pop(derived, None)
        then.landings = [x for x in self.landings if _day(x) <= day]
        return then

    def current(self, as_of: date | None = None) -> list[Landing]:
        """The trusted content of each file that came last, by the end of ``as_of`` (UTC)."""
        if as_of:
            return self.as_of(as_of).current()
        last = filter(None, (_trusted(landings) for landings in self._by_file.values()))
        found = [self._versions[*landing.key, landing.file_id] for landing in last]
        return sorted(found, key=lambda x: (x.dataset, x.month or date.min))

    def days_current(self) -> list[tuple[Landing, date, date]]:
        """Each version that was current at the end of some day, since when and until before when.

        It is as it was landed then: what is distrusted today may have been in use.
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
    def _by_file(self) -> dict[Key, list[Landing]]:
        found = defaultdict(list)
        for landing in self.landings:
            found[landing.key].append(landing)
        return found

    def quarantined(self) -> list[Landing]:
        """Files whose last publication cannot be trusted."""
        return [x for x in self._newest.values() if x.status == "quarantined"]


def _trusted(landings: Sequence[Landing]) -> Landing | None:
    """Of landings of one file: the last one of a content that is trusted still."""
    status = {landing.file_id: landing.status for landing in landings}
    return next((x for x in reversed(landings) if status[x.file_id] == "landed"), None)


def _day(landing: Landing) -> date:
    return landing.landed_at.astimezone(UTC).date()


def clock_fault(ahead: Sequence[Landing], now: datetime) -> str:
    """What to say of landings from long after ``now``."""
    first = ahead[0]
    return (
        f"{len(ahead)} landings in the catalog are ahead of this machine's clock, from {first.name}"
        f" at {first.landed_at:%Y-%m-%d %H:%M} UTC on, where it is {now:%Y-%m-%d %H:%M} here: what"
        " is landed now counts as landed after them, and is not known as of the days before. Set"
        " this clock; or, where the one that they were landed by was wrong, do as medallion verify"
        " says"
    )
