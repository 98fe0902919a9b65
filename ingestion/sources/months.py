"""The months to ask for of a source that does not say which ones it has."""

from datetime import UTC, date, datetime

from ingestion.sources.base import Dataset
from ingestion.sources.files.publisher import months_between


def asked_months(dataset: Dataset, start: date | None, end: date | None) -> list[date]:
    """The months from ``start`` to ``end``, none before the dataset's first or after the present.

    Without ``start`` the last ``lookback_months`` of them, for publishers revise.
    """
    today = datetime.now(UTC).date()
    assert dataset.first_month, "only a dataset by month has months"
    first = max(start or dataset.first_month, dataset.first_month)
    months = months_between(first, min(end or today, today))
    return list(months if start else months[-dataset.options["lookback_months"] :])
