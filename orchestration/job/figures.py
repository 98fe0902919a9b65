"""The figures of one run so far, from which its metrics are made."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import date

from ingestion.land import LandReport, Outcome
from ingestion.load import LoadReport
from ingestion.publications.write import Published
from ingestion.sources.base import PublishedFile
from orchestration.job.audit import Audit
from orchestration.job.transform import TransformReport


@dataclass
class Figures:
    """What a run has done; a figure is None if it is unknown or its stage has not ended."""

    outcomes: Counter[Outcome] | None = None  # of the published files
    newest_published: dict[str, date] = field(default_factory=dict)  # month, by dataset
    landed_bytes: int | None = None
    loaded_files: int | None = None
    loaded_rows: int | None = None
    loaded_bytes: int | None = None
    not_loaded: int | None = None
    # the seconds of each file of this run, by stage and file name
    file_seconds: dict[str, dict[str, float]] = field(default_factory=dict)
    built: TransformReport | None = None
    audit: Audit | None = None
    publication: Published | None = None

    def add_landed(self, report: LandReport) -> None:
        """Add the figures of landing."""
        self.outcomes = Counter(file.outcome for file in report.files)
        for file in report.files:
            note_newest(self.newest_published, file.published, file.outcome)
        changed = report.of(Outcome.NEW, Outcome.REPUBLISHED)
        self.file_seconds["land"] = {
            file.published.name: file.seconds for file in report.files if file.seconds is not None
        }
        self.landed_bytes = sum(file.landing.bytes for file in changed if file.landing)

    def add_loaded(self, report: LoadReport) -> None:
        """Add the figures of loading."""
        self.loaded_files, self.loaded_rows = len(report.loaded), report.rows
        self.loaded_bytes = sum(version.bytes for version in report.loaded)
        self.not_loaded = len(report.failed)
        self.file_seconds["load"] = report.seconds


def note_newest(newest: dict[str, date], file: PublishedFile, outcome: Outcome) -> None:
    """Note the file's month if it is the newest of its dataset that is published."""
    if file.month and not file.is_missing and outcome is not Outcome.NOT_YET:
        newest[file.dataset] = max(file.month, newest.get(file.dataset, file.month))
