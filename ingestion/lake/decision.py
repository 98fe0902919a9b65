"""An operator's decision about a file version, and its record in the lake's catalog.

A version is withdrawn until it is taken back, or forgotten for ever. The record stands beside the
records of landings and has a later format than they have. So an earlier release, which would go on
using the version, stops and says that a later one is needed.
"""

import getpass
import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from functools import cache
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, TypeAdapter, ValidationError

from ingestion.lake.file_version import (
    SEAL,
    SHORT_ID,
    YEARS,
    FileVersion,
    Key,
    Size,
    Text,
    contradicted_key,
    plain,
    record_of,
)

FORMAT = 2  # of these records
Verdict = Literal["withdrawn", "taken back", "forgotten"]


@dataclass(frozen=True)
class Decision:
    """What was decided about one version: the last decision about it holds."""

    decision: Verdict
    dataset: str
    month: date | None
    item: Text | None
    file_id: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    short_id: Annotated[str, Field(pattern=rf"^[0-9a-f]{{{SHORT_ID},64}}$")]  # as in other names
    row_count: Size | None
    bytes: Size
    decided_at: AwareDatetime
    by: Text
    reason: Text

    @property
    def key(self) -> Key:
        """The published file whose version it is about."""
        return self.dataset, self.month, self.item

    @property
    def day(self) -> date:
        """The day on which it was made, UTC."""
        return self.decided_at.astimezone(UTC).date()

    @property
    def text(self) -> str:
        """What it says, for people."""
        return f"{self.decision} on {self.day} by {self.by}: {self.reason or 'no reason given'}"

    @property
    def name(self) -> str:
        """The name of its record in the catalog."""
        return record_of(self.key, self.decided_at, self.short_id)


def decide(version: FileVersion, decision: Verdict, reason: str) -> Decision:
    """A decision about a version, made now by the user of this process."""
    return Decision(
        decision,
        *version.key,
        version.file_id,
        version.table_name.rpartition("__")[2],
        version.row_count,
        version.bytes,
        datetime.now(UTC),
        _user(),
        reason,
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may have no name for its user
        return "somebody"


def to_record(decision: Decision) -> bytes:
    """The record of a decision, with a checksum of its fields."""
    said = asdict(decision) | {SEAL: _checksum(decision), "format": FORMAT}
    return json.dumps(said, default=plain, indent=1).encode()


def from_record(name: str, content: bytes) -> Decision | str:
    """The decision in a catalog record, or the reason why the record cannot be used."""
    try:
        decision = _parser().validate_json(content, strict=True)
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False)[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    if error := contradicted_key(name, decision.key):
        return error
    if decision.decided_at.year not in YEARS:
        return f"{decision.decided_at.isoformat()} is no time that can be meant"
    if not decision.file_id.startswith(decision.short_id):
        return "short_id: it is that of another version than file_id"
    return decision


def is_sealed(name: str, content: bytes, decision: Decision) -> bool:
    """Whether a record is still as it was written, by its checksum and its name."""
    return name == decision.name and json.loads(content).get(SEAL) == _checksum(decision)


@cache
def _parser() -> TypeAdapter[Decision]:
    return TypeAdapter(Decision)


def _checksum(decision: Decision) -> str:
    said = json.dumps(asdict(decision), default=plain, sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()
