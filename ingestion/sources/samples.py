"""The generated samples of all sources that have one, in one folder."""

from pathlib import Path

from ingestion.errors import MedallionError
from ingestion.locks import turn_with_file
from ingestion.progress import Quiet
from ingestion.sources import registry

# another number than that of the folder makes the samples anew: raise it where one changes
EDITION = "2"


def publish_samples(folder: Path, lock: Path, republished: bool = False) -> None:
    """Publish the samples into ``folder`` if it has none of this edition; ``republished``, always.

    The folder gets its name once it is complete, so a killed call leaves no incomplete folder.
    Waits for the holder of the file ``lock``. Raises ``MedallionError`` if writing fails.
    """
    try:
        with turn_with_file(lock, "the sample", Quiet()):
            edition = folder / ".edition"
            if folder.exists():
                if republished or not edition.exists() or edition.read_text() != EDITION:
                    _publish(folder, republished)
                return
            begun = folder.with_name(f"{folder.name}.part")
            _publish(begun, republished)
            begun.rename(folder)
    except OSError as exc:
        raise MedallionError(f"Cannot write the sample to {folder}: {exc.strerror}.") from exc


def _publish(folder: Path, republished: bool) -> None:
    for source in registry.sources().values():
        if source.sample:
            source.sample(folder, republished)
    (folder / ".edition").write_text(EDITION)
