"""Checks that a downloaded file is what its name says.

A file is trusted when all our readers can read its structure, it has rows and its dataset's
required columns, and every known column can be read as its read type without changing a value. Any
other file raises ``UntrustedFileError`` and goes to quarantine. A harmless change (an unknown
column, another type that casts safely) gives a remark, and the column stays in raw.
"""

from datetime import date
from pathlib import Path

from ingestion.errors import UntrustedFileError
from ingestion.formats.drift import Checked
from ingestion.formats.sniff import what_it_holds, what_it_is
from ingestion.formats.validate_csv import check_csv
from ingestion.formats.validate_json_lines import check_json_lines
from ingestion.formats.validate_parquet import check_parquet
from ingestion.sources.base import DOCUMENT, Dataset, FileFormat


def check(
    path: Path, dataset: Dataset, month: date | None, file_format: FileFormat | None = None
) -> Checked:
    """Check the file in its format, by default the one that its name says.

    Raises ``UntrustedFileError`` with the reason.
    """
    if path.stat().st_size == 0:
        raise UntrustedFileError("the file is empty (0 bytes)")
    file_format = file_format or dataset.format_of(path.name)
    if file_format == DOCUMENT:
        if dataset.file_check:  # else nothing is parsed on the way in
            dataset.file_check(path)
        return Checked(None, ())
    if file_format == "parquet":
        return check_parquet(path, dataset, month)
    gzipped = file_format.endswith(".gz")
    if file_format.startswith("jsonl"):
        return check_json_lines(path, gzipped, dataset, month)
    try:
        return check_csv(path, gzipped, dataset, month)
    except UntrustedFileError as exc:
        known = what_it_holds(path) if gzipped else what_it_is(path)
        if not known:
            raise
        raise UntrustedFileError(f"{exc} ({known})") from exc
