"""The generated samples of all sources that have one, in one folder."""

from pathlib import Path

from ingestion.errors import MedallionError
from ingestion.locks import turn_with_file
from ingestion.progress import Quiet
from ingestion.sources import registry


def publish_samples(folder: Path, lock: Path, republished: bool = False) -> None:
    """Publish the samples into ``folder`` if it does not exist; ``republished``, in any case.

    The folder gets its name once it is complete, so a killed call leaves no incomplete folder.
    Waits for the holder of the file ``lock``. Raises ``MedallionError`` if writing fails.
    """
    try:
        with turn_with_file(lock, "the sample", Quiet()):
            if folder.exists():
                if republished:
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
