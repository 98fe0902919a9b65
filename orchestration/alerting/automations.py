"""The alerts of the nightly runs: Prefect automations, each with its message.

The fields of a message are Jinja expressions. Prefect's server renders and sends them.
"""

from dataclasses import dataclass
from datetime import timedelta

from prefect.client.schemas.objects import StateType
from prefect.events.actions import ActionTypes, CallWebhook, ChangeFlowRunState, SendNotification
from prefect.events.schemas.automations import (
    AutomationCore,
    EventTrigger,
    Posture,
    SequenceTrigger,
    TriggerTypes,
)

from orchestration import NIGHTLY, VERIFY
from orchestration.flow import events

_SET_UP_BY = "Set up by python -m orchestration.alerting.setup, which undoes changes made by hand."
# one run a day, and two hours to repair a worker
NEVER_STARTED = timedelta(hours=26)
# ten heartbeats of a flow run, at PREFECT_FLOWS_HEARTBEAT_FREQUENCY=30; if the server was down for
# longer, it marks a live run as crashed when it is back
NO_HEARTBEAT = timedelta(minutes=5)
# every night finds an overdue publisher overdue again; one alert a week is enough
STALE_AGAIN = timedelta(days=7)

RUN = {"prefect.resource.id": "prefect.flow-run.*"}
FAILED, CRASHED, TIMED_OUT, LATE, INCOMPLETE, COMPLETED, CANCELLED, RUNNING, HEARTBEAT = (
    f"prefect.flow-run.{state}"
    for state in (
        "Failed",
        "Crashed",
        "TimedOut",
        "Late",
        "Incomplete",
        "Completed",
        "Cancelled",
        "Running",
        "heartbeat",
    )
)
# events already cause the alerts of an Incomplete run; it is here only for the recovery alert
BAD = {FAILED, CRASHED, TIMED_OUT, LATE, INCOMPLETE}

# Jinja, rendered by the server: a missing value must not raise, or nothing would be sent.
STATE = 'event.resource["prefect.state-message"]'
PLACE = f'"{NIGHTLY}" ~ (" at " ~ flow_run.infrastructure_pid if flow_run.infrastructure_pid)'
OCCURRED = "event.occurred"
# the first event of a sequence; `events` begins with the latest one, the rest is unordered
BEGAN = "(events | sort(attribute='occurred') | first)"


@dataclass(frozen=True)
class Alert:
    """One automation that sends a message; the fields of the message are Jinja expressions."""

    name: str
    trigger: TriggerTypes
    what: str
    next: str
    where: str = PLACE
    since: str = OCCURRED

    def automation(self, receivers: "Receivers") -> AutomationCore:
        """The automation of this alert for Prefect's server."""
        fields = {
            "what": self.what,
            "where": self.where,
            "since": f'({self.since}) | string | replace(" ", "T")',
            "next": self.next,
            "run": "flow_run.name",
            # not Prefect's filter ui_url: it needs the address in the server's settings
            "url": f'("{receivers.ui}/runs/flow-run/" ~ flow_run.id) if flow_run',
        }
        return AutomationCore(
            name=self.name,
            description=f"See docs/operations.md, Alerts. {_SET_UP_BY}",
            trigger=self.trigger,
            actions=receivers.actions(fields),
        )


@dataclass(frozen=True)
class Receivers:
    """The receivers of messages, as ids of Prefect's blocks, and the address ``ui`` for links."""

    ui: str
    webhooks: tuple[str, ...]
    notifications: tuple[str, ...]

    def actions(self, fields: dict[str, str]) -> list[ActionTypes]:
        """Actions that send the same message to every receiver."""
        text = {name: f'{{{{ (({value}) or "") | string }}}}' for name, value in fields.items()}
        # tojson fails on dates and on undefined values
        json = ", ".join(
            f'"{name}": {{{{ (({value}) or "") | string | tojson }}}}'
            for name, value in fields.items()
        )
        body = "Where: {where}\nSince: {since}\nNext: {next}\nRun: {run} {url}".format(**text)
        posts = [CallWebhook(block_document_id=i, payload=f"{{{json}}}") for i in self.webhooks]
        notes = [
            SendNotification(block_document_id=i, subject=f"Medallion: {text['what']}", body=body)
            for i in self.notifications
        ]
        return [*posts, *notes]


def _of(deployment: str) -> dict[str, str]:
    return {
        "prefect.resource.role": "deployment",
        "prefect.resource.id": f"prefect.deployment.{deployment}",
    }


def _on(deployment: str, *expect: str) -> EventTrigger:
    return EventTrigger(
        match=RUN, match_related=_of(deployment), expect=set(expect), posture=Posture.Reactive
    )


def verify_alerts(weekly: str) -> list[Alert]:
    """The alerts of the verification, whose deployment has the id ``weekly``."""
    bad = (FAILED, CRASHED, TIMED_OUT)
    return [
        Alert(
            "medallion verify failed",
            _on(weekly, *bad),
            what=f'"{VERIFY} failed: " ~ {STATE}',
            where=f'"{VERIFY}"',
            next='"medallion verify lists all errors; medallion verify --restore restores files'
            f' that are still published. Run it again: prefect deployment run {VERIFY}"',
        ),
        Alert(
            "medallion verify recovered",
            SequenceTrigger(triggers=[_on(weekly, *bad), _on(weekly, COMPLETED)]),
            what=f'"Recovered: {VERIFY} is good again. Before: " ~'
            f' ({BEGAN}.resource["prefect.state-message"] or "it did not end")',
            where=f'"{VERIFY}"',
            since=f"{BEGAN}.occurred",
            next='"Nothing."',
        ),
    ]


def alerts(nightly: str, never_started: timedelta) -> list[Alert]:
    """The alerts of the deployment with the id ``nightly``: errors, and recoveries from them."""
    related = _of(nightly)

    def on(*expect: str) -> EventTrigger:
        return _on(nightly, *expect)

    def told(event: str, again_after: timedelta = timedelta(0)) -> EventTrigger:
        return EventTrigger(
            match={"prefect.resource.id": f"{event}.*"},
            for_each={"prefect.resource.id"},
            expect={event},
            posture=Posture.Reactive,
            within=again_after,
        )

    payload = {field: f"event.payload.{field}" for field in ("what", "where", "since", "next")}
    again = f"prefect deployment run {NIGHTLY}"
    return [
        Alert(
            "medallion failed",
            on(FAILED),
            what=f'"{NIGHTLY} failed: " ~ {STATE}',
            next=f'"Read the logs of the run, remove the cause, and run it again: {again}"',
        ),
        Alert(
            "medallion crashed",
            on(CRASHED),
            what=f'"{NIGHTLY} crashed: " ~ {STATE}',
            next='"Its process is gone: look for a lack of memory or a restart of the machine.'
            f' Nothing half done is left. Run it again: {again}"',
        ),
        Alert(
            "medallion timed out",
            on(TIMED_OUT),
            what=f'"{NIGHTLY} took too long: " ~ {STATE}',
            next='"Look at what the warehouse or the publisher was waiting for. Nothing half done'
            f' is left. Run it again: {again}"',
        ),
        Alert(
            "medallion late",
            on(LATE),
            what=f'"{NIGHTLY} is late: no worker has begun it"',
            where='"work pool " ~ (work_pool.name or "medallion")',
            since="flow_run.expected_start_time",
            next='"See whether a worker is running, and start one: prefect worker start'
            ' --pool medallion. The run then begins by itself."',
        ),
        Alert(
            "medallion never started",
            EventTrigger(
                match=RUN,
                match_related=related,
                expect={RUNNING},
                posture=Posture.Proactive,
                within=never_started,
            ),
            what=f'"{NIGHTLY} has not begun for {_spoken(never_started)}"',
            where=f'"{NIGHTLY}"',
            # nothing happened, so there is no event to take the time from
            since="firing.triggered - firing.trigger.within",
            next='"See whether its schedule and the work pool medallion are switched on, and'
            ' whether a worker is running: medallion watch"',
        ),
        Alert("medallion quarantined", told(events.QUARANTINED), **payload),
        Alert("medallion odd file", told(events.ODD), **payload),
        Alert("medallion unbalanced", told(events.UNBALANCED), **payload),
        Alert("medallion source stale", told(events.STALE, STALE_AGAIN), **payload),
        Alert(
            "medallion recovered",
            SequenceTrigger(triggers=[on(*BAD), on(COMPLETED)]),
            what=f'"Recovered: {NIGHTLY} is good again. Before: " ~'
            f' {BEGAN}.resource["prefect.state-name"] ~ ": " ~'
            f' ({BEGAN}.resource["prefect.state-message"] or "it began too late")',
            since=f"{BEGAN}.occurred",
            next='"Nothing."',
        ),
        Alert(
            "medallion started again",
            SequenceTrigger(
                triggers=[
                    EventTrigger(
                        match={
                            "prefect.resource.id": "prefect.automation.*",
                            "prefect.resource.name": "medallion never started",
                        },
                        expect={"prefect.automation.triggered"},
                        posture=Posture.Reactive,
                    ),
                    on(RUNNING),
                ]
            ),
            what=f'"Recovered: {NIGHTLY} has begun again"',
            since=f"{BEGAN}.occurred",
            next='"Nothing. If this run ends badly, another alert says so."',
        ),
        Alert(
            "medallion source fresh",
            SequenceTrigger(triggers=[told(events.STALE), told(events.FRESH)]),
            what='"Recovered: " ~ event.payload.what',
            where="event.payload.where",
            since=f"{BEGAN}.occurred",
            next='"Nothing."',
        ),
    ]


def _spoken(duration: timedelta) -> str:
    hours = duration / timedelta(hours=1)
    return f"{hours:g} hours" if hours >= 1 else f"{duration.total_seconds():g} seconds"


def zombie(no_heartbeat: timedelta) -> AutomationCore:
    """The automation that ends runs without a heartbeat.

    Without it, a run whose machine died would stay Running for ever, and others would wait for it.
    """
    ends = {COMPLETED, FAILED, CANCELLED, CRASHED, TIMED_OUT, INCOMPLETE}
    return AutomationCore(
        name="medallion zombie",
        description=f"Ends runs whose process and worker are gone. {_SET_UP_BY}",
        trigger=EventTrigger(
            match=RUN,
            for_each={"prefect.resource.id"},
            after={HEARTBEAT},
            expect={HEARTBEAT, *ends},
            posture=Posture.Proactive,
            within=no_heartbeat,
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED,
                message=f"It gave no sign of life for {_spoken(no_heartbeat)}",
            )
        ],
    )
