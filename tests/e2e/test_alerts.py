"""Every alert from a real Prefect server to a webhook, and the watch from outside of it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
import typer
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.settings import PREFECT_API_URL, temporary_settings
from typer.testing import CliRunner

from ingestion.errors import UsageError
from ingestion.settings import Settings
from ingestion.warehouse import engine_for
from orchestration.alerting import setup as alerts
from orchestration.alerting import watch as watching
from orchestration.cli.watch import watch as watch_command
from orchestration.flow import events
from tests.conftest import settings_in
from tests.e2e.conftest import Place
from tests.support import orchestrator
from tests.support.orchestrator import Server, Worker, wait_for
from tests.support.ports import free_port
from tests.support.processes import wait_until
from tests.support.trips import ZONES, publish, trips
from tests.support.webhook import Webhook, receiving

pytestmark = pytest.mark.slow

MONTH = date(2024, 1, 1)
FIELDS = {"what", "where", "since", "next", "run", "url"}
NAMES = [
    "medallion zombie",
    "medallion failed",
    "medallion crashed",
    "medallion timed out",
    "medallion late",
    "medallion never started",
    "medallion quarantined",
    "medallion odd file",
    "medallion unbalanced",
    "medallion source stale",
    "medallion recovered",
    "medallion started again",
    "medallion source fresh",
    "medallion verify failed",
    "medallion verify recovered",
]


@dataclass
class Team:
    """A server, a worker that is not started yet, a DuckDB warehouse, and who is told."""

    server: Server
    worker: Worker
    place: Place
    webhook: Webhook
    settings: Settings

    @property
    def quiet(self) -> Settings:
        """The same settings where nobody is told, and what was told of is not known."""
        work_dir = self.place.folder / "quiet"
        return self.settings.model_copy(update={"alert_webhook_url": None, "work_dir": work_dir})

    def set_up(self, **values: object) -> list[str]:
        with temporary_settings({PREFECT_API_URL: self.server.api}):
            return alerts.set_up(self.settings, **values)  # type: ignore[arg-type]

    def start_worker(self) -> None:
        if not self.worker.process:
            self.worker.start()

    def night(self, state: str = "Completed") -> str:
        """The id of a run that ended so."""
        run = self.server.ended(self.server.run())
        assert run["state_name"] == state, (run["state"], self.server.logs(run["id"]))
        return str(run["id"])

    def waiting_run(self) -> str:
        """A run that is under way, and waits while the test holds the warehouse."""
        run = self.server.run()
        wait_for(lambda: "waiting: " in self.server.logs(run))
        return run

    def message(self, text: str, start: int, seconds: float = 30.0) -> dict[str, str]:
        """The one message that says so, whole and with a time."""
        message = self.webhook.one(text, start, seconds)
        assert set(message) == FIELDS
        assert datetime.fromisoformat(message["since"]) <= datetime.now(UTC)
        assert message["where"]
        assert message["next"]
        return message

    def kill(self, run: str) -> None:
        """Kill -9 the process of one run."""
        for pid in orchestrator.flow_processes(run):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    place = Place(tmp_path_factory.mktemp("place"))
    publish(place.published, "green", MONTH, trips("green", MONTH))
    publish(place.published, "taxi_zone_lookup", None, ZONES)
    folder = tmp_path_factory.mktemp("team")
    with receiving() as webhook, orchestrator.serving(folder / "prefect") as server:
        elsewhere = folder / "elsewhere"
        elsewhere.mkdir()
        own = {k: v for k, v in place.environment().items() if k.startswith("MEDALLION_")}
        worker = Worker(server, elsewhere, own | {"PREFECT_WORKER_HEARTBEAT_SECONDS": "2"}, "one")
        settings = settings_in(place.folder, alert_webhook_url=webhook.url)
        place.env |= server.env | {"MEDALLION_ALERT_WEBHOOK_URL": webhook.url}
        try:
            yield Team(server, worker, place, webhook, settings)
        finally:
            worker.stop()
            print([m["what"] for m in webhook.messages])


def test_setting_up_twice_leaves_one_of_each(team: Team) -> None:
    assert team.place.run("orchestration.alerting.setup").splitlines() == NAMES
    # the tests' server has no page, to which the links in alerts would lead
    page = team.server.api.removesuffix("/api")
    assert team.place.last_stderr.startswith(f"warning: The links in alerts lead to {page}, and no")
    assert "set PREFECT_UI_URL" in team.place.last_stderr
    team.place.env["PREFECT_UI_URL"] = f"{team.server.api}/health"
    try:
        team.place.run("orchestration.alerting.setup")
        assert team.place.last_stderr == ""
    finally:
        del team.place.env["PREFECT_UI_URL"]
        team.set_up()
    before = team.server.post("/automations/filter")
    assert team.set_up() == NAMES
    after = team.server.post("/automations/filter")
    # what is the same is left alone: an update would forget what a trigger is waiting for
    assert sorted(a["name"] for a in after) == sorted(NAMES)
    assert {a["id"]: a["updated"] for a in after} == {a["id"]: a["updated"] for a in before}
    assert "s3cret" not in (team.server.folder / "server.log").read_text()


def test_set_up_says_what_is_missing(team: Team) -> None:
    with pytest.raises(UsageError, match="slack-webhook/nobody"):
        team.set_up(blocks=["slack-webhook/nobody"])
    with pytest.raises(UsageError, match="sends no notifications"):
        team.set_up(blocks=[f"webhook/{alerts.WEBHOOK_BLOCK}"])
    team.place.env["PREFECT_API_URL"] = ""
    try:
        team.place.run("orchestration.alerting.setup", expect=2)
    finally:
        team.place.env["PREFECT_API_URL"] = team.server.api
    assert "PREFECT_API_URL" in team.place.last_stderr


def test_no_run_and_a_late_run_are_told_of_and_so_is_their_end(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", team.server.api)
    team.set_up(never_started=timedelta(seconds=10))
    team.message("nightly/nightly has not begun for 10 seconds", 0)
    team.set_up()

    start = len(team.webhook.messages)
    run = team.server.run()
    late = team.message("is late", start)
    assert late["run"] == team.server.get(f"/flow_runs/{run}")["name"]
    assert run in late["url"]
    lines = watching.watch(team.quiet, late=timedelta(0))
    assert [line.partition(" (")[0] for line in lines] == [
        "no worker of the work pool medallion is online",
        "a run of nightly/nightly is Late, and has been for too long",
    ]
    team.start_worker()
    assert team.server.ended(run)["state_name"] == "Completed"
    assert "Late" in team.message("is good again", start)["what"]
    team.message("has begun again", start)


def test_a_quarantined_file_is_told_of_once_and_once_when_it_is_mended(team: Team) -> None:
    team.start_worker()
    start = len(team.webhook.messages)
    publish(team.place.published, "green", date(2024, 2, 1), b"PAR1 not a parquet file")
    team.night("Incomplete")
    message = team.message("green 2024-02 is in quarantine", start)
    assert message["where"] == "green 2024-02"
    assert message["run"]
    publish(team.place.published, "green", date(2024, 2, 1), trips("green", date(2024, 2, 1)))
    team.night()
    assert "quarantine" in team.message("is good again", start)["what"]
    assert len(team.webhook.messages) == start + 2, team.webhook.messages[start:]


def test_a_failed_run(team: Team) -> None:
    team.start_worker()
    start = len(team.webhook.messages)
    away = team.place.published.rename(team.place.folder / "away")
    run = team.night("Failed")
    away.rename(team.place.published)
    message = team.message("nightly/nightly failed: ", start)
    assert "there is no folder" in message["what"]
    assert run in message["url"]
    assert len(team.webhook.messages) == start + 1


def test_a_file_of_the_lake_that_changed(team: Team) -> None:
    team.start_worker()
    start = len(team.webhook.messages)
    changed = min((team.place.lake / "raw" / "green").iterdir())
    whole = changed.read_bytes()
    changed.write_bytes(whole[:-1] + b"?")
    run = team.server.ended(team.server.run("verify/weekly"))
    assert run["state_name"] == "Failed"
    message = team.message("verify/weekly failed: ", start)
    assert "its bytes have changed" in message["what"]
    assert run["id"] in message["url"]
    # from a timer without Prefect: once, and once when it is over
    place = team.place
    for _ in range(2):
        place.medallion("verify", "--alert", "--quiet", expect=1)
    message = team.webhook.one("Verification failed: ", start)
    assert "its bytes have changed" in message["what"]
    changed.write_bytes(whole)
    place.medallion("verify", "--alert", "--quiet")
    team.webhook.one("Recovered: this is over: Verification failed", start)
    assert team.server.ended(team.server.run("verify/weekly"))["state_name"] == "Completed"
    team.message("Recovered: verify/weekly is good again", start)
    assert len(team.webhook.messages) == start + 4


def test_a_verification_that_is_missing_is_told_of_from_outside(
    team: Team, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", team.server.api)
    team.start_worker()
    wait_for(lambda: watching.watch(team.quiet) == [])
    settings = team.settings.model_copy(update={"work_dir": tmp_path})
    start = len(team.webhook.messages)
    with monkeypatch.context() as patch:
        patch.setattr(watching, "VERIFIED", timedelta(0))
        for _ in range(2):  # it is told of once
            (line,) = watching.watch(settings)
            assert line.startswith("verify/weekly has not completed for 0 hours (since ")
            assert "prefect deployment run verify/weekly" in line
    message = team.message("verify/weekly has not completed for 0 hours", start)
    assert message["where"] == "verify/weekly"
    assert watching.watch(settings) == []
    team.message("Recovered: this is over: verify/weekly has not completed", start)
    assert len(team.webhook.messages) == start + 2


def test_a_webhook_that_is_another_is_told_after_the_setup(team: Team) -> None:
    """As docs/operations.md says: the setting, then the setup."""
    start = len(team.webhook.messages)
    emit = (
        "from prefect.events import emit_event\n"
        f"emit_event({events.STALE!r}, resource={{'prefect.resource.id': '{events.STALE}.moved'}},"
        " payload={'what': 'No new month: moved', 'where': 'moved'})"
    )
    with receiving() as another:
        team.place.env["MEDALLION_ALERT_WEBHOOK_URL"] = another.url
        try:
            team.place.run("orchestration.alerting.setup")
            subprocess.run([sys.executable, "-c", emit], env=team.place.environment(), check=True)
            another.one("No new month: moved")
        finally:
            team.place.env["MEDALLION_ALERT_WEBHOOK_URL"] = team.webhook.url
            team.set_up()
    assert len(team.webhook.messages) == start
    assert another.url not in (team.server.folder / "server.log").read_text()


def test_a_run_that_took_too_long_and_a_chat(team: Team) -> None:
    with temporary_settings({PREFECT_API_URL: team.server.api}):
        CustomWebhookNotificationBlock(
            name="chat",
            url=team.webhook.url,
            json_data={"what": "{{subject}}", "body": "{{body}}"},
        ).save("chat", overwrite=True)
    team.set_up(blocks=["custom-webhook/chat"])
    start = len(team.webhook.messages)
    nightly = team.server.get("/deployments/name/nightly/nightly")["id"]
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    run = team.server.post(
        f"/deployments/{nightly}/create_flow_run",
        state={"type": "SCHEDULED", "state_details": {"scheduled_time": tomorrow}},
    )["id"]
    team.server.post(
        f"/flow_runs/{run}/set_state",
        state={"type": "FAILED", "name": "TimedOut", "message": "dbt was still at work after 9 s"},
        force=True,
    )
    told = "nightly/nightly took too long: dbt was still at work after 9 s"
    note = team.webhook.one(f"Medallion: {told}", start)
    assert note["body"].startswith("Where: nightly/nightly\nSince: 20")
    wait_until(lambda: len(team.webhook.messages) == start + 2)
    (message,) = (m for m in team.webhook.messages[start:] if m["what"] == told)
    assert set(message) == FIELDS
    assert run in message["url"]
    assert run in note["body"]
    team.set_up()


def test_a_crashed_run(team: Team) -> None:
    team.start_worker()
    start = len(team.webhook.messages)
    with engine_for(team.settings).only_run():
        run = team.waiting_run()
        team.kill(run)
        assert team.server.ended(run)["state_name"] == "Crashed"
    assert run in team.message("nightly/nightly crashed: ", start)["url"]
    team.night()
    team.message("is good again", start)
    assert len(team.webhook.messages) == start + 2


def test_a_ledger_out_of_balance_and_a_silent_publisher(team: Team) -> None:
    start = len(team.webhook.messages)
    tampered = "update marts.ledger set fact_rows = fact_rows {}, is_balanced = {}"
    with duckdb.connect(team.place.warehouse) as warehouse:
        warehouse.execute(tampered.format("- 1", "false"))
    team.place.env["MEDALLION_STALE_AFTER_DAYS"] = "1"
    try:
        team.place.run("orchestration.flows", expect=1)
    finally:
        del team.place.env["MEDALLION_STALE_AFTER_DAYS"]
        with duckdb.connect(team.place.warehouse) as warehouse:
            warehouse.execute(tampered.format("+ 1", "true"))
    assert team.message("The ledger does not balance", start)["run"]
    assert team.message("No new month: green", start)["where"] == "green"
    assert len(team.webhook.messages) == start + 2
    # the next nights: still silent, which is not told of every night, and no longer
    fresh = "green: the newest month is 2024-02"
    # without follows, the server may handle the second of two events first
    emit = "from prefect.events import emit_event\nlast = None\n" + "".join(
        f"last = emit_event({event!r}, resource={{'prefect.resource.id': '{event}.green'}},"
        f" payload={{'what': {fresh!r}, 'where': 'green'}}, follows=last)\n"
        for event in (events.STALE, events.FRESH)
    )
    subprocess.run([sys.executable, "-c", emit], env=team.place.environment(), check=True)
    assert team.message("Recovered: green", start)["where"] == "green"
    assert len(team.webhook.messages) == start + 3


def test_a_run_and_a_worker_that_vanish_are_noticed(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", team.server.api)
    team.start_worker()
    team.set_up(no_heartbeat=timedelta(seconds=35))
    assert watching.watch(team.settings) == []
    start = len(team.webhook.messages)
    with engine_for(team.settings).only_run():
        run = team.waiting_run()
        lines = watching.watch(team.quiet, hours=0)
        assert "nightly/nightly has not completed for 0 hours" in lines[0]
        assert "a run of nightly/nightly is Running" in lines[1]
        assert team.worker.process
        os.killpg(team.worker.process.pid, signal.SIGKILL)
        team.kill(run)
        team.worker.stop()
        wait_for(lambda: watching.watch(team.settings))
        (line,) = watching.watch(team.settings)
        assert "no worker of the work pool medallion is online" in line
        assert team.message("no worker", start)
        message = team.message("nightly/nightly crashed: It gave no sign of life", start, 90)
    assert run in message["url"]
    team.start_worker()
    assert watching.watch(team.settings) == []
    team.message("Recovered: this is over: no worker", start)
    assert len(team.webhook.messages) == start + 3


def test_a_server_that_is_down_is_noticed_from_outside(
    team: Team, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    app = typer.Typer()
    app.command()(watch_command)
    monkeypatch.setattr(watching, "PAUSE_SECONDS", 0.01)
    monkeypatch.setenv("MEDALLION_WORK_DIR", str(tmp_path))
    monkeypatch.setenv("PREFECT_API_URL", "")
    assert CliRunner().invoke(app).exit_code == 2

    monkeypatch.setenv("PREFECT_API_URL", team.server.api)
    team.start_worker()
    assert CliRunner().invoke(app).exit_code == 0
    team.server.stop()
    unheard = CliRunner().invoke(app)
    assert unheard.exit_code == 1
    assert unheard.stderr.startswith("error: Prefect's server does not answer: ConnectionError")

    monkeypatch.setenv("MEDALLION_ALERT_WEBHOOK_URL", team.webhook.url)
    start = len(team.webhook.messages)
    team.webhook.status = 503
    refused = CliRunner().invoke(app)
    assert "took no message: it answers 503" in refused.stderr
    assert "s3cret" not in refused.output
    team.webhook.status = 204
    for _ in range(2):
        assert CliRunner().invoke(app).stderr.count("\n") == 1
    assert team.message("server does not answer", start)["since"] in unheard.stderr
    team.server.start()
    wait_until(lambda: CliRunner().invoke(app).exit_code == 0)
    team.message("Recovered: this is over: Prefect's server does not answer", start)
    assert len(team.webhook.messages) == start + 2


def test_a_password_of_the_server_that_changes(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    """As docs/operations.md says: both files, then server and worker are restarted."""
    monkeypatch.setenv("PREFECT_API_URL", team.server.api)
    team.start_worker()
    worker = team.worker
    try:
        for password in ("admin:first", "admin:second"):
            team.server.stop()
            team.server.password = password
            team.server.start()
            (refused,) = watching.watch(team.quiet)
            assert "does not accept the password" in refused
            assert "Set PREFECT_API_AUTH_STRING" in refused
            (team.quiet.work_dir / "watch.json").unlink()
            monkeypatch.setenv("PREFECT_API_AUTH_STRING", password)
            worker.stop()
            worker.env["PREFECT_API_AUTH_STRING"] = password
            worker.start(anew=True)
            wait_for(lambda: watching.watch(team.quiet) == [])
    finally:
        worker.stop()
        del worker.env["PREFECT_API_AUTH_STRING"]
        team.server.stop()
        team.server.password = ""
        team.server.start()


def test_what_is_bad_is_said_where_it_cannot_be_remembered(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    app = typer.Typer()
    app.command()(watch_command)
    (tmp_path / "a file").touch()
    monkeypatch.setattr(watching, "PAUSE_SECONDS", 0.01)
    monkeypatch.setenv("MEDALLION_WORK_DIR", str(tmp_path / "a file" / "work"))
    monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{free_port()}/api")
    with receiving() as webhook:
        monkeypatch.setenv("MEDALLION_ALERT_WEBHOOK_URL", webhook.url)
        found = CliRunner().invoke(app)
        assert webhook.about("Prefect's server does not answer")
    assert found.exit_code == 1
    server, memory = found.stderr.splitlines()
    assert server.startswith("error: Prefect's server does not answer")
    assert memory.startswith(f"error: Cannot write {tmp_path}/a file/work/watch.json: Not a dir")
