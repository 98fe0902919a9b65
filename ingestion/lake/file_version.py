"""One landing: its fields, the names made from it, and its record in the lake's catalog.

A record is JSON. It is used only if every value is valid and agrees with the record's name. Keys
that a later release adds are ignored.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field, TypeAdapter, ValidationError

from ingestion.sources import registry
from ingestion.sources.base import FORMATS, name_of

CATALOG_DIR = "catalog"
SHORT_ID = 8  # hex digits of a sha256 in a name; more if another version has the same ones
ITEM_DIGITS = 12  # hex digits of the sha256 of an item's name
SEAL = "checksum"
# The format version of landings' records. Raise it when an earlier release would read a new record
# wrongly. A record without one has format 1.
FORMAT = 1
# years that every engine can store in a timestamp and that a publisher can have meant
YEARS = range(1970, 2200)

Key = tuple[str, date | None, str | None]  # dataset, month and item: one published file
# a landing is one of the first two; the others follow from decisions (decision.py)
Status = Literal["landed", "quarantined", "withdrawn", "forgotten"]
PASSED_OVER: tuple[Status, ...] = ("withdrawn", "forgotten")
Text = Annotated[str, Field(pattern=r"^[^\x00]*$")]  # PostgreSQL cannot store a NUL
Size = Annotated[int, Field(ge=0, lt=2**63)]


def file_key(file_id: str) -> int:
    """The first 15 hex digits of a sha256 as a number. Facts carry it in place of the sha256."""
    return int(file_id[:15], 16)


@dataclass(frozen=True)
class FileVersion:
    """A version of a published file, as one landing recorded it."""

    dataset: str
    month: date | None
    file_id: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]  # sha256 of the publisher's bytes
    source_url: Text
    etag: Text | None
    last_modified: AwareDatetime | None
    bytes: Size
    row_count: Size | None
    columns: tuple[tuple[Text, Text], ...]
    lake_path: str  # relative to the lake's address
    landed_at: AwareDatetime
    status: Status
    error: Text | None = None
    remarks: tuple[Text, ...] = ()
    item: Text | None = None  # the name within a dataset of several files

    @property
    def name(self) -> str:
        """What people call it: the dataset, and the month as 2024-01."""
        return name_of(*self.key)

    @property
    def table_name(self) -> str:
        """The version's name in lake and warehouse: the lake's file name without its ending."""
        return self.lake_path.rpartition("/")[2].partition(".")[0]

    @property
    def file_key(self) -> int:
        """The number that facts carry in place of the sha256."""
        return file_key(self.file_id)

    @property
    def key(self) -> Key:
        """The published file that this is a version of."""
        return self.dataset, self.month, self.item


def item_id(item: str) -> str:
    """What stands for an item in the names of the lake and the warehouse."""
    return hashlib.sha256(item.encode()).hexdigest()[:ITEM_DIGITS]


def names_of(keys: Iterable[Key]) -> str:
    """A text that names several files: each dataset with its ranges of months."""
    spans: list[tuple[Key, Key]] = []
    for key in sorted(set(keys), key=lambda k: (k[0], k[1] or date.min, k[2] or "")):
        dataset, month, _ = key
        if spans and month and spans[-1][1] == (dataset, _month_before(month), None):
            spans[-1] = spans[-1][0], key
        else:
            spans.append((key, key))
    return ", ".join(
        name_of(*first) + (f" to {last[1]:%Y-%m}" if first != last else "") for first, last in spans
    )


def _month_before(month: date) -> date:
    return (month - timedelta(days=1)).replace(day=1)


def version_name(key: Key, file_id: str, digits: int = SHORT_ID) -> str:
    """The name of one file version, in the lake and in the warehouse."""
    dataset, month, item = key
    stem = f"{registry.datasets()[dataset].view}_{month:%Y_%m}" if month else dataset
    if item is not None:
        stem += f"_{item_id(item)}"
    return f"{stem}__{file_id[:digits]}"


# the names of the lake's objects
_OBJECT = re.compile(
    r"(raw/(?P<folder>[a-z][a-z0-9_]*)|quarantine)/(?P<stem>[a-z][a-z0-9_]*)"
    rf"__(?P<id>[0-9a-f]{{{SHORT_ID},64}})\."
    rf"(?P<format>{'|'.join(map(re.escape, FORMATS))}|[a-z0-9]{{1,8}})",
    re.ASCII,
)
_ITEM = re.compile(rf"[0-9a-f]{{{ITEM_DIGITS}}}", re.ASCII)
_MONTH = re.compile(r"\d{4}_\d\d", re.ASCII)
# the names of the catalog's records; a later release may have other datasets
_RECORD = re.compile(
    rf"{CATALOG_DIR}/(?P<dataset>[a-z][a-z0-9_]*)/((?P<month>\d{{4}}-\d\d)|current|"
    rf"item-(?P<item>[0-9a-f]{{{ITEM_DIGITS}}}))/"
    rf"(?P<stamp>\d{{8}}T\d{{12}}Z)-(?P<id>[0-9a-f]{{{SHORT_ID},64}})\.json",
    re.ASCII,
)


def key_of(name: str) -> Key | None:
    """The published file that an object or record belongs to, by its name; none if not ours.

    In place of an item is what stands for it in names.
    """
    if found := _RECORD.fullmatch(name):
        month = f"{found['month']}-01" if found["month"] else None
        return _key(found["dataset"], month, found["item"])
    if not (found := _OBJECT.fullmatch(name)):
        return None
    for dataset in registry.datasets().values():
        month = found["stem"].removeprefix(f"{dataset.view}_")
        if found["folder"] not in (None, dataset.name):
            continue
        if dataset.has_rows and found["format"] not in FORMATS:
            continue
        if found["stem"] == dataset.name:
            return _key(dataset.name, None)
        item = found["stem"].removeprefix(f"{dataset.name}_")
        if dataset.has_items and item != found["stem"] and _ITEM.fullmatch(item):
            return _key(dataset.name, None, item)
        if dataset.monthly and month != found["stem"] and _MONTH.fullmatch(month):
            return _key(dataset.name, f"{month.replace('_', '-')}-01")
    return None


def _key(dataset: str, month: str | None, item: str | None = None) -> Key | None:
    try:
        return dataset, date.fromisoformat(month) if month else None, item
    except ValueError:
        return None


def record_name(landing: FileVersion) -> str:
    """The name of a landing's record in the catalog."""
    return record_of(landing.key, landing.landed_at, landing.table_name.rpartition("__")[2])


def record_of(key: Key, at: datetime, short_id: str) -> str:
    """The name of a record about a version, made at a time."""
    return f"{folder_of_records(key)}/{_stamp(at)}-{short_id}.json"


def folder_of_records(key: Key) -> str:
    """Where the records of a published file lie in the lake."""
    dataset, month, item = key
    part = f"{month:%Y-%m}" if month else "current"
    if item is not None:
        part = f"item-{item_id(item)}"
    return f"{CATALOG_DIR}/{dataset}/{part}"


def _stamp(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y%m%dT%H%M%S%fZ}"


def to_record(landing: FileVersion) -> bytes:
    """The record of a landing, with a checksum of its fields."""
    said = _fields(landing) | {SEAL: _checksum(landing), "format": FORMAT}
    return json.dumps(said, default=plain, indent=1).encode()


def from_record(name: str, content: bytes) -> FileVersion | str:
    """The landing in a catalog record, or the reason why the record cannot be used."""
    try:
        landing = _parser().validate_json(content, strict=True)
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        return f"{where}: {first['msg']}" if where else first["msg"]
    return _contradiction(name, landing) or landing


def format_of(content: bytes) -> int:
    """The format version of a record."""
    try:
        said = json.loads(content)
    except (ValueError, RecursionError):
        return FORMAT  # the parser reports what is not JSON
    written = said.get("format", FORMAT) if isinstance(said, dict) else FORMAT
    return written if isinstance(written, int) else FORMAT


@cache
def _parser() -> TypeAdapter[FileVersion]:
    return TypeAdapter(FileVersion)


def contradicted_key(name: str, key: Key) -> str | None:
    """How a record contradicts its name, or the sources; none if it does not."""
    dataset_name, month, item = key
    dataset = registry.datasets().get(dataset_name)
    if dataset is None:
        return (
            f"dataset: no source has {dataset_name!r}; is {registry.VARIABLE} set as it was"
            " where it was landed"
        )
    if (item is None) == dataset.has_items:
        return f"item: {dataset_name} is {'' if dataset.has_items else 'not '}several files"
    days = (1,) if dataset.monthly else (None,)
    if (month and month.day) not in days:
        return f"month: {month} is no month of {dataset_name}"
    if key_of(name) != _in_names(key):
        return f"it is the record of {name_of(*key)}, and its name is that of another file"
    return None


def _in_names(key: Key) -> Key:
    dataset, month, item = key
    return dataset, month, item and item_id(item)


def _contradiction(name: str, landing: FileVersion) -> str | None:
    """How the parts of a record contradict each other; none if they do not."""
    if error := contradicted_key(name, landing.key):
        return error
    if landing.status in PASSED_OVER:
        return f"status: {landing.status!r} is no status of a landing"
    if landing.status == "quarantined" and not landing.error:
        return "error: there is none, and the version is in quarantine"
    if key_of(landing.lake_path) != _in_names(landing.key):
        return f"lake_path: {landing.lake_path!r} is no place of {landing.name} in a lake"
    digits = landing.table_name.rpartition("__")[2]
    if not landing.file_id.startswith(digits):
        return "lake_path: it is the place of another version than file_id"
    has_rows = registry.datasets()[landing.dataset].has_rows
    if landing.status == "landed" and not landing.columns and has_rows:
        return "columns: there are none"
    if landing.status == "landed" and landing.row_count is None and has_rows:
        return "row_count: there is none"
    for moment in filter(None, (landing.last_modified, landing.landed_at)):
        if moment.year not in YEARS:
            return f"{moment.isoformat()} is no time that can be meant"
    return None


def is_sealed(name: str, content: bytes, landing: FileVersion) -> bool:
    """Whether a record is still as it was written, by its checksum and its name."""
    seal = json.loads(content).get(SEAL)
    named = _RECORD.fullmatch(name)
    is_of_its_time = named is not None and named["stamp"] == _stamp(landing.landed_at)
    return is_of_its_time and seal in (None, _checksum(landing))


def _checksum(landing: FileVersion) -> str:
    # only of these fields: a key that a later release adds must not change the checksum here
    said = json.dumps(_fields(landing), default=plain, sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()


def _fields(landing: FileVersion) -> dict[str, Any]:
    """The fields of a record; releases before items wrote none, and their checksum has none."""
    fields = asdict(landing)
    return {k: v for k, v in fields.items() if k != "item" or v is not None}


def plain(value: Any) -> str:
    """A date or a time as the catalog writes it."""
    if isinstance(value, date):  # a datetime is a date too
        return value.isoformat()
    raise TypeError(f"cannot write {type(value).__name__} to the catalog")
