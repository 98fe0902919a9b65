"""How ``medallion watch`` tries again, where no Prefect server answers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ingestion.settings import Settings
from orchestration.alerting import watch as watching
from tests.support.http_server import QuietHandler, on_loopback
from tests.support.ports import free_port


def settings_for(webhook: str, tmp_path: Path) -> Settings:
    return Settings.model_validate({"alert_webhook_url": webhook, "work_dir": tmp_path})


@pytest.fixture
def answers() -> list[int]:
    """What the webhook is still to answer before it takes a message."""
    return []


@pytest.fixture
def webhook(answers: list[int]) -> Iterator[str]:
    class Handler(QuietHandler):
        def do_POST(self) -> None:  # noqa: N802
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(answers.pop(0) if answers else 204)
            self.send_header("Retry-After", "3600")
            self.send_header("Content-Length", "0")
            self.end_headers()

    with on_loopback(Handler) as url:
        yield f"{url}/s3cret"


@pytest.fixture(autouse=True)
def _no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "PAUSE_SECONDS", 0.01)
    monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{free_port()}/api")


def test_a_webhook_that_is_busy_is_asked_again_whatever_it_says_of_when(
    webhook: str, answers: list[int], tmp_path: Path
) -> None:
    answers += [429, 503]
    (line,) = watching.watch(settings_for(webhook, tmp_path))
    assert line.startswith("Prefect's server does not answer: ConnectionError")
    assert answers == []


def test_a_webhook_is_asked_three_times_and_again_at_the_next_watch(
    webhook: str, answers: list[int], tmp_path: Path
) -> None:
    answers += [503, 503, 503]
    settings = settings_for(webhook, tmp_path)
    lines = watching.watch(settings)
    assert "took no message: it answers 503" in lines[1]
    assert len(watching.watch(settings)) == 1
    assert answers == []


def test_a_webhook_that_is_away_or_refuses_is_named_without_its_secret_address(
    webhook: str, answers: list[int], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    answers += [403, 500]
    lines = watching.watch(settings_for(webhook, tmp_path))
    assert "took no message: it answers 403" in lines[1]
    assert answers == [500]

    away = f"http://127.0.0.1:{free_port()}/s3cret"
    lines += watching.watch(settings_for(away, tmp_path))
    assert "took no message: ConnectionError" in lines[-1]
    assert "s3cret" not in "".join([*lines, *capfd.readouterr()])
