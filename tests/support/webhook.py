"""A receiver of alerts on loopback: it keeps every JSON body that is posted to it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.support.http_server import QuietHandler, on_loopback
from tests.support.processes import wait_until


@dataclass
class Webhook:
    """The test's view of the receiver; ``status`` is the status of its answers."""

    url: str = ""
    status: int = 204
    messages: list[dict[str, Any]] = field(default_factory=list)

    def about(self, text: str, start: int = 0) -> list[dict[str, Any]]:
        """The messages from ``start`` on with ``text`` in their ``what``."""
        return [m for m in self.messages[start:] if text in m["what"]]

    def one(self, text: str, start: int = 0, seconds: float = 30.0) -> dict[str, Any]:
        """Wait for such a message; return it. Fails if there is none, or more than one."""
        wait_until(lambda: self.about(text, start), seconds)
        (message,) = self.about(text, start)
        return message


@contextmanager
def receiving() -> Iterator[Webhook]:
    """Run a receiver on a free port; its path is a secret, as with Slack."""
    webhook = Webhook()

    class Handler(QuietHandler):
        def do_POST(self) -> None:  # noqa: N802
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if webhook.status < 300:
                webhook.messages.append(json.loads(body))
            self.send_response(webhook.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

    with on_loopback(Handler) as url:
        webhook.url = f"{url}/s3cret-path"
        yield webhook
