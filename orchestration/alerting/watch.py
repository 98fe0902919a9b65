"""Check from outside whether the orchestrator itself is alive.

Prefect's server sends alerts about bad runs, but sends nothing when the server itself is down.
``medallion watch`` is for cron on any machine that reaches the server. It alerts once when an error
begins, and once when it is over.
"""

import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ingestion.errors import UsageError
from ingestion.settings import Settings
from orchestration import NIGHTLY, VERIFY

POOL = "medallion"
SECONDS_TO_ANSWER = 10.0
ATTEMPTS = 3
# urllib3 tries again at once, and then after twice this time
PAUSE_SECONDS = 3.0
# a worker may be restarting, and looks for runs only every few seconds
LATE = timedelta(minutes=5)
PENDING = timedelta(minutes=15)
VERIFIED = timedelta(days=15)  # two weekly runs: a single failed one has its own alert


@dataclass(frozen=True)
class Alert:
    """One error; the fields are those of its message."""

    what: str
    where: str
    since: str
    next: str
    run: str = ""
    url: str = ""


class _ServerDownError(Exception):
    next = "Start the server, or the database of its runs; workers then continue by themselves."


class _RefusedError(_ServerDownError):
    next = "Set PREFECT_API_AUTH_STRING to the server's PREFECT_SERVER_API_AUTH_STRING."


def watch(settings: Settings, hours: float = 26.0, late: timedelta = LATE) -> list[str]:
    """Check once, send new errors to ``settings.alert_webhook_url``, and return a line per error.

    A run of the nightly deployment must have completed in the last ``hours``. ``watch.json`` in the
    work folder keeps which errors were alerted. Raises ``UsageError`` if PREFECT_API_URL is not
    set.
    """
    api = os.environ.get("PREFECT_API_URL", "").rstrip("/")
    if not api:
        raise UsageError("No Prefect server is named. Set PREFECT_API_URL.")
    now = datetime.now(UTC)
    memory_path = settings.work_dir / "watch.json"
    memory = _remembered(memory_path)
    try:
        found = dict(_Api(api).errors(now, timedelta(hours=hours), late))
        over = set(memory) - set(found)
        if "server" in memory:
            # the server has just come back, and workers had no time yet to report to it
            found, over = {}, {"server"}
    except _ServerDownError as exc:
        found = {"server": _server_down(api, exc, now)}
        over = set()  # the state of the other errors is not known
    lines, _ = _tell(settings, memory_path, memory, found, over)
    return lines


def tell_of_verification(settings: Settings, errors: Sequence[str]) -> list[str]:
    """Send a message when a verification first finds errors, and when it finds none again.

    ``verify.json`` in the work folder keeps whether the message was sent. Returns a line for each
    problem with sending or with that file.
    """
    path = settings.work_dir / "verify.json"
    memory = _remembered(path)
    found = {}
    if errors:
        more = f"; and {len(errors) - 1} more" if len(errors) > 1 else ""
        found["verify"] = Alert(
            what=f"Verification failed: {errors[0]}{more}",
            where=settings.lake_url,
            since=datetime.now(UTC).isoformat(),
            next="medallion verify lists all errors; medallion verify --restore restores files"
            " that are still published.",
        )
    return _tell(settings, path, memory, found, set(memory) - set(found))[1]


def _tell(
    settings: Settings,
    memory_path: Path,
    memory: dict[str, Any],
    found: Mapping[str, Alert],
    over: Collection[str],
) -> tuple[list[str], list[str]]:
    """Send what is new or over, and remember it.

    Returns one line for each error and each problem with sending, and again the latter alone.
    """
    lines: list[str] = []
    unsent: list[str] = []
    for key, error in found.items():
        # keep the first message of an error: it has the time when the error began
        known = memory.setdefault(key, {"message": asdict(error), "told": False})
        lines.append(f"{error.what} (since {known['message']['since']}). {error.next}")
        if not known["told"]:
            known["told"] = _told(settings, known["message"], unsent)
    for key in over:
        message = memory[key]["message"]
        good = message | {"what": f"Recovered: this is over: {message['what']}", "next": "Nothing."}
        if not memory[key]["told"] or _told(settings, good, unsent):
            del memory[key]
    try:
        _remember(memory_path, memory)
    except OSError as exc:
        unsent.append(
            f"Cannot write {memory_path}: {exc.strerror}. Until it can be written, each error is"
            " sent every time, and no message says when the error is over"
        )
    return lines + unsent, unsent


def _server_down(api: str, reason: _ServerDownError, now: datetime) -> Alert:
    return Alert(
        what=f"Prefect's server does not answer: {reason}",
        where=api,
        since=now.isoformat(),
        next=reason.next,
    )


class _Api:
    """The few requests to Prefect's server that ``watch`` needs."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._ui = os.environ.get("PREFECT_UI_URL", url.removesuffix("/api")).rstrip("/")
        self._session = _patient_session()
        user, _, password = os.environ.get("PREFECT_API_AUTH_STRING", "").partition(":")
        if user:
            self._session.auth = (user, password)

    def errors(
        self, now: datetime, silence: timedelta, late: timedelta
    ) -> Iterator[tuple[str, Alert]]:
        """The errors, each with a key that stays the same while the error lasts."""
        self._ask("GET", "/health")
        yield from self._pool(now)
        deployment = self._ask("GET", f"/deployments/name/{NIGHTLY}")
        if not deployment:
            yield (
                "deployment",
                Alert(
                    what=f"there is no deployment {NIGHTLY}",
                    where=self._url,
                    since=now.isoformat(),
                    next="Deploy it with: prefect --no-prompt deploy --all",
                ),
            )
            return
        yield from self._completed("completed", NIGHTLY, deployment, now, silence)
        # if the verification is not deployed, another scheduler may start it
        if weekly := self._ask("GET", f"/deployments/name/{VERIFY}"):
            yield from self._completed("verified", VERIFY, weekly, now, VERIFIED)
        yield from self._stuck(deployment, now, silence, late)

    def _pool(self, now: datetime) -> Iterator[tuple[str, Alert]]:
        workers = self._ask("POST", f"/work_pools/{POOL}/workers/filter", {})
        if any(worker["status"] == "ONLINE" for worker in workers or ()):
            return
        seen = max((w["last_heartbeat_time"] for w in workers or ()), default=now.isoformat())
        what = f"no worker of the work pool {POOL} is online"
        yield (
            "worker",
            Alert(
                what=what if workers is not None else f"there is no work pool {POOL}",
                where=f"{self._url}, work pool {POOL}",
                since=seen,
                next=f"Start one: prefect worker start --pool {POOL}",
                url=f"{self._ui}/work-pools/work-pool/{POOL}",
            ),
        )

    def _completed(
        self, key: str, name: str, deployment: dict[str, Any], now: datetime, silence: timedelta
    ) -> Iterator[tuple[str, Alert]]:
        runs = self._runs(deployment, {"type": {"any_": ["COMPLETED"]}}, sort="END_TIME_DESC")
        # a new deployment had no time to complete a run: count from its creation
        since = runs[0]["end_time"] if runs else deployment["created"]
        if now - datetime.fromisoformat(since) > silence:
            last = runs[0] if runs else None
            yield (
                key,
                Alert(
                    what=f"{name} has not completed for {silence / timedelta(hours=1):g} hours",
                    where=name,
                    since=since,
                    next="Look at its latest runs; run it with: prefect deployment run " + name,
                    run=last["name"] if last else "",
                    url=f"{self._ui}/deployments/deployment/{deployment['id']}",
                ),
            )

    def _stuck(
        self, deployment: dict[str, Any], now: datetime, silence: timedelta, late: timedelta
    ) -> Iterator[tuple[str, Alert]]:
        for run in self._runs(deployment, {"name": {"any_": ["Late"]}}):
            since = run["expected_start_time"]
            if now - datetime.fromisoformat(since) > late:
                yield (
                    f"late {run['id']}",
                    self._error_of(
                        run, since, "no worker has begun it; see whether one is running"
                    ),
                )
        for run in self._runs(deployment, {"type": {"any_": ["RUNNING", "PENDING", "CANCELLING"]}}):
            since = run["state"]["timestamp"]
            patience = silence if run["state_type"] == "RUNNING" else PENDING
            if now - datetime.fromisoformat(since) > patience:
                yield (
                    f"stuck {run['id']}",
                    self._error_of(run, since, "read its logs, cancel it, and run it again"),
                )

    def _error_of(self, run: dict[str, Any], since: str, next: str) -> Alert:  # noqa: A002
        state = run["state"]["name"]
        return Alert(
            what=f"a run of {NIGHTLY} is {state}, and has been for too long",
            where=NIGHTLY,
            since=since,
            next=next[0].upper() + next[1:] + ".",
            run=run["name"],
            url=f"{self._ui}/runs/flow-run/{run['id']}",
        )

    def _runs(
        self,
        deployment: dict[str, Any],
        state: dict[str, Any],
        sort: str = "EXPECTED_START_TIME_ASC",
    ) -> list[dict[str, Any]]:
        body = {
            "flow_runs": {"deployment_id": {"any_": [deployment["id"]]}, "state": state},
            "sort": sort,
            "limit": 20,
        }
        return list(self._ask("POST", "/flow_runs/filter", body) or ())

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """The answer; None if it is 404. Raises ``_ServerDownError`` if there is no good answer."""
        import requests

        try:
            answer = self._session.request(
                method, self._url + path, json=body, timeout=SECONDS_TO_ANSWER
            )
            if answer.status_code == 404 and path != "/health":
                return None
            if answer.ok:
                return answer.json()
        except requests.RequestException as exc:
            raise _ServerDownError(type(exc).__name__) from exc
        if answer.status_code == 401:
            raise _RefusedError("it does not accept the password")
        raise _ServerDownError(f"it answers {answer.status_code} to {path}")


def _patient_session() -> Any:
    """A session that retries if a server does not answer, or answers that it is busy or broken."""
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3 import Retry

    retry = Retry(
        ATTEMPTS - 1,
        backoff_factor=PAUSE_SECONDS,
        allowed_methods=None,  # POST too: a query changes nothing, and an alert may come twice
        status_forcelist=[429, *range(500, 600)],
        raise_on_status=False,
        respect_retry_after_header=False,  # the header may ask for an hour
    )
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=retry))
    return session


def _told(settings: Settings, message: dict[str, str], lines: list[str]) -> bool:
    """Post one message; return whether it was taken. An error adds a line, without the address."""
    import requests

    if not settings.alert_webhook_url:
        return False
    try:
        answer = _patient_session().post(
            settings.alert_webhook_url.get_secret_value(),
            json=message,
            timeout=SECONDS_TO_ANSWER,
            allow_redirects=False,  # send only to the address in the settings
        )
        if answer.status_code < 300:
            return True
        reason = f"it answers {answer.status_code}"
    except requests.RequestException as exc:
        reason = type(exc).__name__
    lines.append(
        f"MEDALLION_ALERT_WEBHOOK_URL took no message: {reason}. The next check sends it again"
    )
    return False


def _remembered(path: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        found = json.loads(path.read_text())
        if isinstance(found, dict):
            return found
    return {}


def _remember(path: Path, memory: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    part.write_text(json.dumps(memory, indent=1))
    part.replace(path)
