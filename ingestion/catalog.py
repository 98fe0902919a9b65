"""The lake's catalog: an append-only log of what was landed, kept beside the bytes.

Each landing is one small JSON object, written only after the bytes it speaks of were read back and
found equal. A half-written object does not parse and so does not count: the landing is done again.
The versions of a month, which of them is current, and which was current on a past day all follow
from the log; nothing else need survive.
"""

import json
import re
from copy import copy
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Any, Literal

from ingestion.datasets import DATASETS, FORMATS
from ingestion.publisher import PublishedFile
from ingestion.stores.store import Store

CATALOG_DIR = "catalog"
Status = Literal["landed", "quarantined"]


def file_key(file_id: str) -> int:
    """The first 15 hex digits of a sha256 as a number: what facts carry in its place."""
    return int(file_id[:15], 16)


@dataclass(frozen=True)
class Landing:
    """At ``landed_at``, ``source_url`` with this fingerprint held the content ``file_id``."""

    dataset: str
    month: date | None
    file_id: str  # sha256 of the publisher's bytes
    source_url: str
    etag: str | None
    last_modified: datetime | None
    bytes: int
    row_count: int | None
    columns: tuple[tuple[str, str], ...]
    lake_path: str  # below the lake's address
    landed_at: datetime
    status: Status
    error: str | None = None
    remarks: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What people call it: ``green 2024-01``."""
        return name_of(self.dataset, self.month)

    @property
    def table_name(self) -> str:
        """The raw table of this version: ``green_tripdata_2024_01__1512a953``."""
        return version_name(self.dataset, self.month, self.file_id)

    @property
    def file_key(self) -> int:
        """What facts carry in place of its sha256."""
        return file_key(self.file_id)

    @property
    def key(self) -> tuple[str, date | None]:
        """What this is a version of."""
        return self.dataset, self.month


def name_of(dataset: str, month: date | None) -> str:
    """What people call a published file: ``green 2024-01``."""
    return f"{dataset} {month:%Y-%m}" if month else dataset


def version_name(dataset: str, month: date | None, file_id: str) -> str:
    """The name that one content of one published file has in the lake and in the warehouse."""
    stem = f"{dataset}_tripdata_{month:%Y_%m}" if month else dataset
    return f"{stem}__{file_id[:8]}"


# what the lake names an object that it keeps, and what the catalog names a record
_DATASETS = "|".join(DATASETS)
_OBJECT = re.compile(
    rf"(raw/(?P<folder>{_DATASETS})|quarantine)/"
    rf"(?P<dataset>{_DATASETS})(_tripdata_(?P<month>\d{{4}}_\d\d))?"
    rf"__[0-9a-f]{{8}}\.({'|'.join(map(re.escape, FORMATS))})"
)
_RECORD = re.compile(
    rf"{CATALOG_DIR}/(?P<dataset>{_DATASETS})/((?P<month>\d{{4}}-\d\d)|current)/"
    r"\d{8}T\d{12}Z-[0-9a-f]{8}\.json"
)


def key_of(name: str) -> tuple[str, date | None] | None:
    """Of which published file an object or a record is, by its name; none where it is not ours."""
    found = _OBJECT.fullmatch(name) or _RECORD.fullmatch(name)
    if not found or found.groupdict().get("folder") not in (None, found["dataset"]):
        return None
    try:
        month = found["month"]
        return found["dataset"], (
            date.fromisoformat(f"{month.replace('_', '-')}-01") if month else None
        )
    except ValueError:
        return None


def _folder(landing: Landing) -> str:
    month = f"{landing.month:%Y-%m}" if landing.month else "current"
    return f"{CATALOG_DIR}/{landing.dataset}/{month}"


class Catalog:
    """The landings of one lake, oldest first."""

    def __init__(self, lake: str | Store):
        """``lake`` is an address, or the lake itself where it is written to as is set."""
        self._store = lake if isinstance(lake, Store) else Store(lake)

    @cached_property
    def landings(self) -> list[Landing]:
        """Every landing that was written whole, oldest first: one listing, and a GET each."""
        parsed = (landing for _, landing in self._records if landing)
        return sorted(parsed, key=lambda landing: landing.landed_at)

    @property
    def unreadable(self) -> list[str]:
        """The names of records of ours that do not parse; strangers' files are none."""
        return [name for name, landing in self._records if not landing and key_of(name)]

    @cached_property
    def _records(self) -> list[tuple[str, Landing | None]]:
        names = [n for n in self._store.names(CATALOG_DIR) if n.endswith(".json")]
        contents = self._store.read_all(names)
        return [(name, _parse(content)) for name, content in zip(names, contents, strict=True)]

    def append(self, landing: Landing) -> Landing:
        """Write one landing; return it as it counts: after all others, whatever the clock says."""
        if self.landings and landing.landed_at <= self.landings[-1].landed_at:
            after = self.landings[-1].landed_at + timedelta(microseconds=1)
            landing = replace(landing, landed_at=after)
        stamp = f"{landing.landed_at.astimezone(UTC):%Y%m%dT%H%M%S%fZ}"
        name = f"{_folder(landing)}/{stamp}-{landing.file_id[:8]}.json"
        self._store.write(name, _format(landing))
        self.landings.append(landing)
        for derived in ("_newest", "_versions"):
            self.__dict__.pop(derived, None)
        return landing

    def newest(self, dataset: str, month: date | None) -> Landing | None:
        """The last landing of one published file, trusted or not."""
        return self._newest.get((dataset, month))

    @cached_property
    def _newest(self) -> dict[tuple[str, date | None], Landing]:
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
        then.landings = [x for x in self.landings if x.landed_at.astimezone(UTC).date() <= day]
        return then

    def current(self, as_of: date | None = None) -> list[Landing]:
        """The trusted content of each file that came last, by the end of ``as_of`` (UTC)."""
        if as_of:
            return self.as_of(as_of).current()
        versions = (self._versions[*landing.key, landing.file_id] for landing in self.landings)
        last = {version.key: version for version in versions if version.status == "landed"}
        return sorted(last.values(), key=lambda x: (x.dataset, x.month or date.min))

    def quarantined(self) -> list[Landing]:
        """Files whose last publication cannot be trusted."""
        return [x for x in self._newest.values() if x.status == "quarantined"]


def _format(landing: Landing) -> bytes:
    def plain(value: Any) -> str:
        if isinstance(value, date):  # a datetime is a date too
            return value.isoformat()
        raise TypeError(f"cannot write {type(value).__name__} to the catalog")

    return json.dumps(asdict(landing), default=plain, indent=1).encode()


def _parse(content: bytes) -> Landing | None:
    try:
        values = json.loads(content)
        moments = {
            name: datetime.fromisoformat(values[name]) if values[name] else None
            for name in ("last_modified", "landed_at")
        }
        month = date.fromisoformat(values["month"]) if values["month"] else None
        columns = tuple((name, file_type) for name, file_type in values["columns"])
        remarks = tuple(values["remarks"])
        return Landing(
            **values | moments | {"month": month, "columns": columns, "remarks": remarks}
        )
    except (ValueError, TypeError, KeyError):
        return None
