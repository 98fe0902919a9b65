"""The lake's catalog: an append-only log of landings, kept beside the files.

Each landing is one small JSON object. It is written whole, and only after the file's bytes were
read back and found equal. The log alone gives the versions of a month, the current one, and the one
that was current on a past day. So a record that cannot be read is damage: if it were passed over,
months would be missing without a word.

A decision about a version, as that it is withdrawn, is a record of its own (decision.py). It
changes the version's status, and not the order of landings.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import cached_property

from ingestion.errors import MedallionError
from ingestion.formats.decimals import wide_decimals
from ingestion.lake import decision as decisions_in
from ingestion.lake import file_version as landings_in
from ingestion.lake.decision import Decision
from ingestion.lake.file_version import (
    CATALOG_DIR,
    PASSED_OVER,
    SHORT_ID,
    FileVersion,
    Key,
    file_key,
    folder_of_records,
    format_of,
    key_of,
    record_name,
    version_name,
)
from ingestion.lake.storage.store import Store
from ingestion.sources import registry
from ingestion.sources.base import Dataset, PublishedFile, name_of
from ingestion.words import counted

__all__ = ["Catalog", "FileVersion", "file_key", "key_of", "name_of", "version_name"]

Identity = tuple[str, date | None, str | None, str]  # a published file, and a version's sha256

DERIVED_FROM = "lake:"  # how the address begins that a derived file has as its source

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


def _as_checked_now(landing: FileVersion) -> FileVersion:
    """A landing; in quarantine if an earlier release let pass what would give wrong numbers."""
    error = wide_decimals(landing.columns) if landing.status == "landed" else None
    return replace(landing, status="quarantined", error=error) if error else landing


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
        """Every landing, oldest first. Costs one listing, and a GET for each record.

        A version whose columns are not trusted any more is in quarantine, though it was landed.
        """
        if self.unreadable and not self._in_part:
            first, *others = self.unreadable
            more = f", and {len(others)} more that medallion verify lists" if others else ""
            raise MedallionError(
                f"The record {first.name} of the lake {self.lake_url} cannot be read"
                f" ({first.reason}){more}. Without it months would be missing:"
                f" {record_remedy(first.name)}."
            )
        parsed = [
            _as_checked_now(landing)
            for _, landing in self._parsed.values()
            if isinstance(landing, FileVersion)
        ]
        return sorted(parsed, key=lambda landing: landing.landed_at)

    @cached_property
    def decisions(self) -> list[Decision]:
        """Every decision about a version, oldest first."""
        parsed = [said for _, said in self._parsed.values() if isinstance(said, Decision)]
        return sorted(parsed, key=lambda said: said.decided_at)

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
            for name, (content, said) in self._parsed.items()
            if _is_changed(name, content, said)
        ]

    @cached_property
    def _parsed(self) -> dict[str, tuple[bytes, FileVersion | Decision | str]]:
        names = [name for name in self._store.names(CATALOG_DIR) if key_of(name)]
        contents = self._store.read_all(names)
        return {n: (c, _parse(n, c)) for n, c in zip(names, contents, strict=True)}

    def ahead_of(self, now: datetime) -> list[FileVersion]:
        """Landings dated long after ``now``, and all ordered after them: some clock was wrong."""
        return [x for x in self.landings if x.landed_at > now + CLOCKS_APART]

    def append(self, landing: FileVersion) -> FileVersion:
        """Write one landing; return it as ordered: after all others, whatever the clock says."""
        if self.landings and landing.landed_at <= self.landings[-1].landed_at:
            after = self.landings[-1].landed_at + timedelta(microseconds=1)
            landing = replace(landing, landed_at=after)
        self._store.write(record_name(landing), landings_in.to_record(landing))
        self.landings.append(landing)
        self._derive_anew()
        return landing

    def clear_unfinished(self, key: Key, before: datetime) -> None:
        """Delete the records of a file that writes left cut short which were killed before then.

        Each record has a name of its own, so no later one would take the place of such a file.
        """
        self._store.delete_unfinished(
            before, lambda name: key_of(name) is not None, below=folder_of_records(key)
        )

    def decide(self, decision: Decision) -> Decision:
        """Write a decision about a version; return it as ordered: after all others about any."""
        if self.decisions and decision.decided_at <= self.decisions[-1].decided_at:
            after = self.decisions[-1].decided_at + timedelta(microseconds=1)
            decision = replace(decision, decided_at=after)
        self._store.write(decision.name, decisions_in.to_record(decision))
        self.decisions.append(decision)
        self._derive_anew()
        return decision

    def _derive_anew(self) -> None:
        for derived in ("_newest", "_versions", "_decided"):
            self.__dict__.pop(derived, None)

    def decided(self, version: FileVersion) -> Decision | None:
        """The decision that holds about a version; none if it was taken back."""
        return self._decided.get((*version.key, version.file_id))

    @cached_property
    def _decided(self) -> dict[Identity, Decision]:
        return _holding(self.decisions)

    def newest(
        self, dataset: str, month: date | None, item: str | None = None
    ) -> FileVersion | None:
        """The latest landing of one published file, trusted or not."""
        return self._newest.get((dataset, month, item))

    @cached_property
    def _newest(self) -> dict[Key, FileVersion]:
        return {landing.key: _judged(landing, self._decided) for landing in self.landings}

    def last_landing(self, key: Key) -> FileVersion | None:
        """The latest landing of one published file, as it was recorded."""
        return next((x for x in reversed(self.landings) if x.key == key), None)

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
    def _versions(self) -> dict[Identity, FileVersion]:
        merged: dict[Identity, FileVersion] = {}
        for landing in self.landings:
            identity = (*landing.key, landing.file_id)
            first = merged.get(identity)
            merged[identity] = replace(landing, landed_at=first.landed_at) if first else landing
        return {name: _judged(version, self._decided) for name, version in merged.items()}

    def as_of(self, day: date) -> "Catalog":
        """The catalog as it was at the end of ``day`` (UTC), for reading only.

        What was forgotten later is forgotten there too: its bytes are gone.
        """
        then = copy(self)
        then._derive_anew()
        then.landings = [x for x in self.landings if _day(x) <= day]
        then.decisions = _made_by(day, self.decisions)
        return then

    def current(self, as_of: date | None = None) -> list[FileVersion]:
        """The latest trusted version of each file; with ``as_of``, at the end of that day (UTC)."""
        if as_of:
            return self.as_of(as_of).current()
        found = [versions[0] for versions in self.trusted().values() if versions]
        return sorted(found, key=lambda x: (x.dataset, x.month or date.min, x.item or ""))

    def trusted(self) -> dict[Key, list[FileVersion]]:
        """The trusted versions of each file, by their last landing, the latest first.

        The first is the current version. While it cannot be used, the next one stands in for it.
        ``landed_at`` gives another order: a content that is published again is current again.
        """
        found = {}
        for key, landings in self._by_file.items():
            latest_first = dict.fromkeys(landing.file_id for landing in reversed(landings))
            versions = [self._versions[*key, file_id] for file_id in latest_first]
            found[key] = [version for version in versions if version.status == "landed"]
        return found

    def superseded_at(self, key: Key) -> dict[str, datetime]:
        """When each version of a file stopped being current, by sha256.

        Versions that are current, and those that never were, are left out. A version that was
        withdrawn and taken back, or published again, has stopped when it did so last.
        """
        landings = [x for x in self.landings if x.key == key]
        decisions = [x for x in self.decisions if x.key == key]
        found: dict[str, datetime] = {}
        before = None
        for now in sorted({x.landed_at for x in landings} | {x.decided_at for x in decisions}):
            landed = [x for x in landings if x.landed_at <= now]
            then = _trusted(landed, _holding(x for x in decisions if x.decided_at <= now))
            if before and (not then or then.file_id != before.file_id):
                found[before.file_id] = now
            if then:
                found.pop(then.file_id, None)
            before = then
        return found

    def days_current(self) -> list[tuple[FileVersion, date, date]]:
        """Each version that was current at the end of some day: version, first day, day after last.

        Each is as it was landed then: a version that is in quarantine today may have been in use.
        """
        decisions = defaultdict(list)
        for decision in self.decisions:
            decisions[decision.key].append(decision)
        found = []
        for key, landings in self._by_file.items():
            days = sorted({*map(_day, landings), *(said.day for said in decisions[key])})
            for i, day in enumerate(days):
                landed = [landing for landing in landings if _day(landing) <= day]
                then = _trusted(landed, _holding(_made_by(day, decisions[key])))
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

    def with_derived(self, versions: Iterable[FileVersion]) -> list[FileVersion]:
        """The versions, and those of derived files that were read out of them."""
        given = list(versions)
        origins = {f"{DERIVED_FROM}{path}" for path in self.paths_of(given)}
        made = {(*x.key, x.file_id) for x in self.landings if x.source_url in origins}
        return given + [v for identity, v in self._versions.items() if identity in made]

    def paths_of(self, versions: Iterable[FileVersion]) -> set[str]:
        """The paths that these versions have had in the lake: in quarantine, and trusted."""
        wanted = {(*v.key, v.file_id) for v in versions}
        return {x.lake_path for x in self.landings if (*x.key, x.file_id) in wanted}

    def passed_over(self) -> list[FileVersion]:
        """The versions that are withdrawn or forgotten."""
        return [x for x in self._versions.values() if x.status in PASSED_OVER]


def _trusted(
    landings: Sequence[FileVersion], decided: Mapping[Identity, Decision]
) -> FileVersion | None:
    """From the landings of one file, the last one whose version is still trusted."""
    status = {landing.file_id: _judged(landing, decided).status for landing in landings}
    return next((x for x in reversed(landings) if status[x.file_id] == "landed"), None)


def _judged(version: FileVersion, decided: Mapping[Identity, Decision]) -> FileVersion:
    """The version, with the decision that holds about it as its status and its error."""
    decision = decided.get((*version.key, version.file_id))
    if decision is None or decision.decision == "taken back":  # such a one does not hold
        return version
    return replace(version, status=decision.decision, error=decision.text)


def _holding(decisions: Iterable[Decision]) -> dict[Identity, Decision]:
    """The decisions that hold, by version."""
    last = {(*decision.key, decision.file_id): decision for decision in decisions}
    return {of: decision for of, decision in last.items() if decision.decision in PASSED_OVER}


def _made_by(day: date, decisions: Iterable[Decision]) -> list[Decision]:
    return [x for x in decisions if x.day <= day or x.decision == "forgotten"]


def _parse(name: str, content: bytes) -> FileVersion | Decision | str:
    """The landing or decision in a record, or the reason why the record cannot be used.

    Raises ``MedallionError`` where a later release wrote the record in another format: such a lake
    is not damaged, and nothing in it may be repaired.
    """
    if (written := format_of(content)) > decisions_in.FORMAT:
        raise MedallionError(
            f"The record {name} was written by a later release of Medallion: it has format"
            f" {written}, and this release knows {decisions_in.FORMAT}. Install that release."
        )
    if written == decisions_in.FORMAT:
        return decisions_in.from_record(name, content)
    return landings_in.from_record(name, content)


def _is_changed(name: str, content: bytes, said: FileVersion | Decision | str) -> bool:
    if isinstance(said, Decision):
        return not decisions_in.is_sealed(name, content, said)
    return isinstance(said, FileVersion) and not landings_in.is_sealed(name, content, said)


def _day(landing: FileVersion) -> date:
    return landing.landed_at.astimezone(UTC).date()


def clock_warning(ahead: Sequence[FileVersion], now: datetime) -> str:
    """The warning about landings dated long after ``now``."""
    first, are = ahead[0], "is" if len(ahead) == 1 else "are"
    return (
        f"{counted(len(ahead), 'landing')} in the catalog {are} ahead"
        f" of this machine's clock, from {first.name} at {first.landed_at:%Y-%m-%d %H:%M} UTC on,"
        f" where it is {now:%Y-%m-%d %H:%M} here: what"
        " is landed now counts as landed after them, and is not known as of the days before. Set"
        " this clock; or, where the one that they were landed by was wrong, do as medallion verify"
        " says"
    )
