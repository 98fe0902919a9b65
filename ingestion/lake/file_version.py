"""One landing: what it says, what it is called, and its record in the lake's catalog.

A record is JSON, believed only where every value is what it should be and agrees with the record's
own name. Keys that a later release adds are read over.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, date, timedelta
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field, TypeAdapter, ValidationError

from ingestion.errors import MedallionError
from ingestion.sources import registry
from ingestion.sources.base import FORMATS

CATALOG_DIR = "catalog"
SHORT_ID = 8  # hex digits of a sha256 in a name, as long as no other version has them too
SEAL = "checksum"
# What a record says; raised when an earlier release would read it wrongly. Records without one have
# the first.
FORMAT = 1
# what an engine can hold as a moment, and a publisher can have meant
YEARS = range(1970, 2200)

Key = tuple[str, date | None]  # dataset and month: what there are versions of
Status = Literal["landed", "quarantined"]
Text = Annotated[str, Field(pattern=r"^[^\x00]*$")]  # PostgreSQL can hold no other
Size = Annotated[int, Field(ge=0, lt=2**63)]


def file_key(file_id: str) -> int:
    """The first 15 hex digits of a sha256 as a number: what facts carry in its place."""
    return int(file_id[:15], 16)


@dataclass(frozen=True)
class Landing:
    """At ``landed_at``, ``source_url`` with this fingerprint held the content ``file_id``."""

    dataset: str
    month: date | None
    file_id: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]  # sha256 of the publisher's bytes
    source_url: Text
    etag: Text | None
    last_modified: AwareDatetime | None
    bytes: Size
    row_count: Size | None
    columns: tuple[tuple[Text, Text], ...]
    lake_path: str  # below the lake's address
    landed_at: AwareDatetime
    status: Status
    error: Text | None = None
    remarks: tuple[Text, ...] = ()

    @property
    def name(self) -> str:
        """What people call it: the dataset, and the month as 2024-01."""
        return name_of(self.dataset, self.month)

    @property
    def table_name(self) -> str:
        """The name of this version, here and in the warehouse: the lake's, without its ending."""
        return self.lake_path.rpartition("/")[2].partition(".")[0]

    @property
    def file_key(self) -> int:
        """What facts carry in place of its sha256."""
        return file_key(self.file_id)

    @property
    def key(self) -> Key:
        """What this is a version of."""
        return self.dataset, self.month


def name_of(dataset: str, month: date | None) -> str:
    """What people call a published file: the dataset, and the month as 2024-01."""
    return f"{dataset} {month:%Y-%m}" if month else dataset


def names_of(keys: Iterable[Key]) -> str:
    """What people call several: each dataset with its spans of months."""
    spans: list[tuple[Key, Key]] = []
    for key in sorted(set(keys), key=lambda k: (k[0], k[1] or date.min)):
        dataset, month = key
        if spans and month and spans[-1][1] == (dataset, _month_before(month)):
            spans[-1] = spans[-1][0], key
        else:
            spans.append((key, key))
    return ", ".join(
        name_of(*first) + (f" to {last[1]:%Y-%m}" if first != last else "") for first, last in spans
    )


def _month_before(month: date) -> date:
    return (month - timedelta(days=1)).replace(day=1)


def version_name(dataset: str, month: date | None, file_id: str, digits: int = SHORT_ID) -> str:
    """The name that one content of one published file has in the lake and in the warehouse."""
    stem = f"{registry.datasets()[dataset].view}_{month:%Y_%m}" if month else dataset
    return f"{stem}__{file_id[:digits]}"


# what the lake names an object that it keeps
_OBJECT = re.compile(
    r"(raw/(?P<folder>[a-z][a-z0-9_]*)|quarantine)/(?P<stem>[a-z][a-z0-9_]*)"
    rf"__(?P<id>[0-9a-f]{{{SHORT_ID},64}})\.({'|'.join(map(re.escape, FORMATS))})",
    re.ASCII,
)
_MONTH = re.compile(r"\d{4}_\d\d", re.ASCII)
# what the catalog names a record; a later release may have other datasets
_RECORD = re.compile(
    rf"{CATALOG_DIR}/(?P<dataset>[a-z][a-z0-9_]*)/((?P<month>\d{{4}}-\d\d)|current)/"
    rf"(?P<stamp>\d{{8}}T\d{{12}}Z)-(?P<id>[0-9a-f]{{{SHORT_ID},64}})\.json",
    re.ASCII,
)


def key_of(name: str) -> Key | None:
    """Of which published file an object or a record is, by its name; none where it is not ours."""
    if found := _RECORD.fullmatch(name):
        month = f"{found['month']}-01" if found["month"] else None
        return _key(found["dataset"], month)
    if not (found := _OBJECT.fullmatch(name)):
        return None
    for dataset in registry.datasets().values():
        month = found["stem"].removeprefix(f"{dataset.view}_")
        if found["folder"] not in (None, dataset.name):
            continue
        if found["stem"] == dataset.name:
            return _key(dataset.name, None)
        if dataset.monthly and month != found["stem"] and _MONTH.fullmatch(month):
            return _key(dataset.name, f"{month.replace('_', '-')}-01")
    return None


def _key(dataset: str, month: str | None) -> Key | None:
    try:
        return dataset, date.fromisoformat(month) if month else None
    except ValueError:
        return None


def record_name(landing: Landing) -> str:
    """What the catalog names the record of a landing."""
    month = f"{landing.month:%Y-%m}" if landing.month else "current"
    digits = landing.table_name.rpartition("__")[2]
    return f"{CATALOG_DIR}/{landing.dataset}/{month}/{_stamp(landing)}-{digits}.json"


def _stamp(landing: Landing) -> str:
    return f"{landing.landed_at.astimezone(UTC):%Y%m%dT%H%M%S%fZ}"


def to_record(landing: Landing) -> bytes:
    """The record of a landing, with a checksum of what it says."""
    said = asdict(landing)
    said |= {SEAL: _checksum(landing), "format": FORMAT}
    return json.dumps(said, default=_plain, indent=1).encode()


def from_record(name: str, content: bytes) -> Landing | str:
    """The landing that a record of ours tells of, or why it cannot be believed.

    Raises ``MedallionError`` where a later release wrote it in another format: nothing is wrong
    with such a lake, and nothing may be mended.
    """
    if (written := _format_of(content)) > FORMAT:
        raise MedallionError(
            f"The record {name} was written by a later release of Medallion: it has format"
            f" {written}, and this release knows {FORMAT}. Install that release."
        )
    try:
        landing = _parser().validate_json(content, strict=True)
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        return f"{where}: {first['msg']}" if where else first["msg"]
    return _contradiction(name, landing) or landing


def _format_of(content: bytes) -> int:
    try:
        said = json.loads(content)
    except (ValueError, RecursionError):
        return FORMAT  # what is no JSON is told of by who parses it
    written = said.get("format", FORMAT) if isinstance(said, dict) else FORMAT
    return written if isinstance(written, int) else FORMAT


@cache
def _parser() -> TypeAdapter[Landing]:
    return TypeAdapter(Landing)


def _contradiction(name: str, landing: Landing) -> str | None:
    """What the parts of a record say of each other that cannot be so."""
    dataset = registry.datasets().get(landing.dataset)
    if dataset is None:
        return (
            f"dataset: no source has {landing.dataset!r}; is {registry.VARIABLE} set as it was"
            " where it was landed"
        )
    days = (1,) if dataset.monthly else (None,)
    if (landing.month and landing.month.day) not in days:
        return f"month: {landing.month} is no month of {landing.dataset}"
    if key_of(name) != landing.key:
        return f"it tells of {landing.name}, which is not where it lies"
    if key_of(landing.lake_path) != landing.key:
        return f"lake_path: {landing.lake_path!r} is no place of {landing.name} in a lake"
    digits = landing.table_name.rpartition("__")[2]
    if not landing.file_id.startswith(digits):
        return "lake_path: it is the place of another version than file_id"
    if landing.status == "landed" and not landing.columns:
        return "columns: there are none"
    for moment in filter(None, (landing.last_modified, landing.landed_at)):
        if moment.year not in YEARS:
            return f"{moment.isoformat()} is no time that can be meant"
    return None


def is_sealed(name: str, content: bytes, landing: Landing) -> bool:
    """Whether a record still says what was written to it, by its checksum and its name."""
    seal = json.loads(content).get(SEAL)
    named = _RECORD.fullmatch(name)
    is_of_its_time = named is not None and named["stamp"] == _stamp(landing)
    return is_of_its_time and seal in (None, _checksum(landing))


def _checksum(landing: Landing) -> str:
    # of these fields and no other: a key that a later release adds must not spoil it here
    said = json.dumps(asdict(landing), default=_plain, sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()


def _plain(value: Any) -> str:
    if isinstance(value, date):  # a datetime is a date too
        return value.isoformat()
    raise TypeError(f"cannot write {type(value).__name__} to the catalog")
