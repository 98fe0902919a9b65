"""A receiver of alerts on loopback: keeps every JSON body that is posted to it."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.processes import wait_until


@dataclass
class Webhook:
    """The receiver as a test sees it; ``status`` is what it answers."""

    url: str = ""
    status: int = 204
    messages: list[dict[str, Any]] = field(default_factory=list)

    def about(self, text: str, start: int = 0) -> list[dict[str, Any]]:
        """The messages from ``start`` on whose ``what`` has this in it."""
        return [m for m in self.messages[start:] if text in m["what"]]

    def one(self, text: str, start: int = 0, seconds: float = 30.0) -> dict[str, Any]:
        """The only such message, once it is there."""
        wait_until(lambda: self.about(text, start), seconds)
        (message,) = self.about(text, start)
        return message


@contextmanager
def receiving() -> Iterator[Webhook]:
    """A receiver on a free port; its path is a secret, as with Slack."""
    webhook = Webhook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if webhook.status < 300:
                webhook.messages.append(json.loads(body))
            self.send_response(webhook.status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    webhook.url = f"http://127.0.0.1:{server.server_port}/s3cret-path"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield webhook
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
