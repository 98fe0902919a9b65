"""Verify all data that must not change: the lake, the publications and the raw tables."""

from collections.abc import Iterator
from dataclasses import dataclass

from ingestion.lake import verify as in_lake
from ingestion.progress import Progress, Quiet
from ingestion.publications.verify import VerifiedFile
from ingestion.publications.verify import verify as verify_publications
from ingestion.settings import Settings
from ingestion.warehouse.compare import Compared, compare


@dataclass(frozen=True)
class Verification:
    """The result for every version, orphan, published file and raw table."""

    versions: list[in_lake.Verified]
    orphans: list[in_lake.Orphan]
    published: list[VerifiedFile]
    raw_tables: list[Compared] | None = None  # None if they were not compared

    @property
    def errors(self) -> list[str]:
        """The errors, one line each, with what to do."""
        return list(self._errors())

    def _errors(self) -> Iterator[str]:
        for v in self.versions:
            if v.error:
                yield f"{v.landing.name}, {v.landing.lake_path}: {v.error}; {v.remedy}"
        for s in self.orphans:
            yield f"{s.path}: {s.error}; {s.remedy}"
        for f in self.published:
            if f.error and not f.publications:
                yield f.error  # of a manifest: it has its path and what to do
            elif f.error:
                yield (
                    f"{f.path}: {f.error}; it is part of {', '.join(f.publications)}. medallion run"
                    " writes it again, if the marts still hold it"
                )
        for t in self.raw_tables or ():
            if t.error:
                yield f"{t.table}: {t.error}"

    @property
    def summary(self) -> list[str]:
        """What is good, and what was restored, one line each."""
        good = sum(not v.error for v in self.versions)
        lines = [f"{good} of {len(self.versions)} versions are intact"]
        lines += [f"restored {v.landing.lake_path}" for v in self.versions if v.is_restored]
        if self.published:
            good = sum(not f.error for f in self.published)
            lines.append(f"{good} of {len(self.published)} published files are intact")
        if self.raw_tables is not None:
            good = sum(not t.error for t in self.raw_tables)
            lines.append(f"{good} of {len(self.raw_tables)} raw tables are equal to their files")
        return lines


def verify(
    settings: Settings,
    restore: bool = False,
    warehouse: bool = False,
    progress: Progress | None = None,
) -> Verification:
    """Read the lake and what is published, and compare every sha256; return the results.

    ``restore`` downloads damaged versions again. ``warehouse`` also compares every raw table with
    its file.
    """
    progress = progress or Quiet()
    versions = in_lake.verify(settings, progress)
    if restore:
        versions = in_lake.restore(settings, versions, progress)
    orphans = in_lake.orphans(settings, progress)
    published = verify_publications(settings, progress)
    damaged = {v.landing.lake_path for v in versions if v.error}
    raw_tables = compare(settings, damaged, progress) if warehouse else None
    return Verification(versions, orphans, published, raw_tables)
