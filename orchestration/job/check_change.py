"""Try a change of the models in an environment over the same lake, and show its effect."""

from collections.abc import Sequence
from dataclasses import dataclass

from ingestion.errors import MedallionError
from ingestion.load import load
from ingestion.progress import Progress, Quiet
from ingestion.publications.diff import Diff
from ingestion.publications.read import current
from ingestion.publications.storage import open_publications
from ingestion.settings import Settings
from ingestion.warehouse import engine_for
from orchestration.job import environments
from orchestration.job.audit import audit
from orchestration.job.diff import diff
from orchestration.job.last_run import recorded
from orchestration.job.pipeline import ledger_errors, load_errors
from orchestration.job.publish import publish
from orchestration.job.transform import transform

COMMAND = "check-change"


@dataclass(frozen=True)
class Checked:
    """The effect of a change: how much was built and tested, and what would differ for readers.

    ``loaded`` are file versions that the main warehouse has not loaded yet. Their months differ in
    any case, whatever the models do.
    """

    environment: str
    models: int
    tests: int
    warnings: tuple[str, ...]
    loaded: Sequence[str]
    diff: Diff


def check_change(main: Settings, name: str, progress: Progress | None = None) -> Checked:
    """Build what this working tree's models make stale, in a new copy of the warehouse.

    Nothing is landed. Raises ``TransformError`` if a test fails, and ``MedallionError`` if the
    ledger does not balance. What readers see does not change in any case.
    """
    progress = progress or Quiet()
    open_publications(main)  # raises if these settings publish nothing
    settings = main.in_environment(name)
    if current(main) is None:
        publishes = main.run_command.replace("run", "publish", 1)
        raise MedallionError(f"There is nothing to compare with yet: {publishes} publishes it.")
    if engine_for(settings).exists():
        environments.drop(main, name)
    progress.say(f"copying the warehouse to the environment {name}")
    environments.create(main, name)
    with recorded(settings, COMMAND, progress=progress) as this:
        this.begin("load")
        loaded = load(settings, progress=this)
        this.begin("transform")
        built = transform(settings, progress=this, unit_tests=True)
        this.begin("audit")
        result = audit(settings)
        if errors := load_errors(loaded) + ledger_errors(result):
            raise MedallionError(" ".join(errors))
        this.begin("publish")
        publish(settings, result, COMMAND, this)
    return Checked(
        name,
        built.models,
        built.tests,
        built.warnings,
        [version.table_name for version in loaded.loaded],
        diff(main, name),
    )
