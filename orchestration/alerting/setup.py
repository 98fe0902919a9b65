"""Set up the alerts: Prefect automations that send a message for each kind of error.

``python -m orchestration.alerting.setup`` creates the automations that
``orchestration.alerting.automations`` defines, and updates those that differ. You can run it again
at any time. Each error causes one message: what happened, where, since when, and what to do next.
Prefect's server sends the messages. ``orchestration.alerting.watch`` reports when that server is
down.
"""

import argparse
import sys
from collections.abc import Iterable
from datetime import timedelta

import httpx
from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.events.schemas.automations import AutomationCore
from prefect.exceptions import ObjectNotFound
from prefect.settings import get_current_settings

from ingestion.errors import MedallionError, UnreachableError, UsageError
from ingestion.settings import Settings, load_settings
from orchestration import NIGHTLY, VERIFY
from orchestration.alerting.automations import (
    NEVER_STARTED,
    NO_HEARTBEAT,
    Receivers,
    alerts,
    verify_alerts,
    zombie,
)

WEBHOOK_BLOCK = "medallion-alerts"
PAGE_SECONDS = 5


def set_up(
    settings: Settings,
    blocks: Iterable[str] = (),
    never_started: timedelta = NEVER_STARTED,
    no_heartbeat: timedelta = NO_HEARTBEAT,
) -> list[str]:
    """Create the automations, or update those that differ; return the names of all.

    Messages go to ``settings.alert_webhook_url`` and to Prefect's notification blocks that
    ``blocks`` names, as ``slack-webhook/NAME``. If there is no receiver, it sets up only the
    automation that ends runs whose process is gone. Raises ``UsageError`` if no server is named or
    a block is unknown. Raises ``MedallionError`` if a deployment is missing or the server does not
    answer.
    """
    server = get_current_settings()
    api = server.api.url
    if not api:
        raise UsageError("No Prefect server is named. Set PREFECT_API_URL.")
    try:
        with get_client(sync_client=True) as client:
            nightly, weekly = _deployment(client, NIGHTLY), _deployment(client, VERIFY)
            receivers = Receivers(
                page_address(api),
                tuple(_webhook(settings)),
                tuple(_notification(client, name) for name in blocks),
            )
            wanted = [zombie(no_heartbeat)]
            if receivers.webhooks or receivers.notifications:
                told = alerts(nightly, never_started) + verify_alerts(weekly)
                wanted += [alert.automation(receivers) for alert in told]
            for automation in wanted:
                _upsert(client, automation)
    except httpx.HTTPStatusError as exc:
        # leave out the text of the answer: it repeats the webhook's address, which is a secret
        raise MedallionError(
            f"The Prefect server at {api} answers {exc.response.status_code}"
            f" to {exc.request.method} {exc.request.url.path}."
        ) from None
    except httpx.HTTPError as exc:
        raise UnreachableError(f"Cannot reach the Prefect server at {api}: {exc}") from exc
    return [automation.name for automation in wanted]


def page_address(api: str) -> str:
    """The address of the links in alerts: the page of the server whose API is at ``api``."""
    return (get_current_settings().ui_url or api.removesuffix("/api")).rstrip("/")


def page_error() -> str | None:
    """The error if no page answers at the address of the links in alerts; None if one does."""
    address = page_address(get_current_settings().api.url or "")
    try:
        answer = httpx.get(address, timeout=PAGE_SECONDS, follow_redirects=True)
        reason = f"it answers {answer.status_code}" if answer.is_error else None
    except (httpx.HTTPError, httpx.InvalidURL) as exc:
        reason = str(exc) or type(exc).__name__
    if reason is None:
        return None
    return (
        f"The links in alerts lead to {address}, and no page can be seen there: {reason}. Start"
        " Prefect's server with its page, or set PREFECT_UI_URL to the address that people use."
    )


def _upsert(client: SyncPrefectClient, automation: AutomationCore) -> None:
    found = client.read_automations_by_name(automation.name)
    for superfluous in found[1:]:
        client.delete_automation(superfluous.id)
    # an update sends only fields that are set, and validation sets the types too; an update may
    # not send the owner
    whole = AutomationCore.model_validate(automation.model_dump(exclude={"owner_resource"}))
    if not found:
        client.create_automation(whole)
    elif found[0].model_dump(exclude={"id"}) != whole.model_dump():
        # only if it differs: an update makes a trigger forget which events it has seen
        client.update_automation(found[0].id, whole)


def _deployment(client: SyncPrefectClient, name: str) -> str:
    try:
        return str(client.read_deployment_by_name(name).id)
    except ObjectNotFound as exc:
        raise MedallionError(
            f"The Prefect server knows no deployment {name}."
            " Deploy it with: prefect --no-prompt deploy --all"
        ) from exc


def _webhook(settings: Settings) -> list[str]:
    """Save the webhook's address in a Prefect block, encrypted and masked; return the block's id.

    Returns nothing if no address is set.
    """
    if not settings.alert_webhook_url:
        return []
    block = Webhook(
        method="POST",
        url=settings.alert_webhook_url,
        headers={"Content-Type": "application/json"},
        allow_private_urls=True,
    )
    return [str(block.save(WEBHOOK_BLOCK, overwrite=True))]


def _notification(client: SyncPrefectClient, block: str) -> str:
    kind, _, name = block.partition("/")
    try:
        found = client.read_block_document_by_name(name, kind)
    except ObjectNotFound as exc:
        raise UsageError(
            f"The Prefect server knows no block {block}; give one as slack-webhook/NAME."
        ) from exc
    if "notify" not in (found.block_schema.capabilities if found.block_schema else ()):
        raise UsageError(f"The block {block} sends no notifications.")
    return str(found.id)


def main() -> int:
    """Set up the alerts from the command line; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m orchestration.alerting.setup", description=__doc__
    )
    parser.add_argument(
        "--block",
        action="append",
        default=[],
        metavar="TYPE/NAME",
        help="send to this notification block of Prefect's too, as slack-webhook/NAME or"
        " sendgrid-email/NAME; may be repeated",
    )
    blocks = parser.parse_args().block
    try:
        settings = load_settings()
        names = set_up(settings, blocks)
    except MedallionError as exc:
        sys.stderr.write(f"error: {exc}\n")
        return exc.exit_code
    sys.stdout.writelines(f"{name}\n" for name in names)
    if not (settings.alert_webhook_url or blocks):
        sys.stderr.write(
            "No receiver is named, so no alert was created; existing alerts are unchanged."
            " Set MEDALLION_ALERT_WEBHOOK_URL, or give --block.\n"
        )
    if error := page_error():
        sys.stderr.write(f"warning: {error}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
