"""TLC as one source of the kind ``files``."""

from pathlib import Path

from ingestion.sources.base import Source
from ingestion.sources.tlc.datasets import DATASETS, SOURCE_NAME


def _sample(folder: Path, republished: bool) -> None:
    from ingestion.sources.tlc.sample import publish_sample  # NumPy is slow to import

    publish_sample(folder, republished)


SOURCE = Source(
    name=SOURCE_NAME,
    title="TLC",
    kind="files",
    url="https://d37ci6vzurychx.cloudfront.net",
    datasets=tuple(DATASETS.values()),
    usual=("yellow", "green"),
    enabled=True,
    # TLC publishes with a delay of about two months; warn after twice that
    overdue_days=120,
    sample=_sample,
)
