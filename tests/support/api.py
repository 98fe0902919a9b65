"""An API on loopback: each path has a function from a request to an answer."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.support.http_server import QuietHandler, on_loopback


@dataclass(frozen=True)
class Asked:
    """One request as it was received."""

    path: str
    params: dict[str, str]
    headers: dict[str, str]
    body: bytes = b""

    def number(self, name: str, default: int = 0) -> int:
        """A parameter as a number."""
        return int(self.params.get(name, default))


@dataclass(frozen=True)
class Reply:
    """An answer: content as it is, or a value that is written as JSON."""

    content: Any = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut_to: int | None = None  # bytes that are sent of those announced
    pause: float = 0  # seconds before each byte of the content

    @property
    def body(self) -> bytes:
        """The bytes of the content."""
        return (
            self.content if isinstance(self.content, bytes) else json.dumps(self.content).encode()
        )


Route = Callable[[Asked], Any]


@dataclass
class Api:
    """The test's view of the server."""

    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    routes: dict[str, Route] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answers(self, path: str, *replies: Any) -> None:
        """Give these answers at ``path``, one for each request, the last of them for ever."""
        left = list(replies)
        self.routes[path] = lambda _: left.pop(0) if len(left) > 1 else left[0]


class _Handler(QuietHandler):
    api: Api

    def handle(self) -> None:
        """Answer until the client goes; one that has had enough may reset the connection."""
        with suppress(ConnectionError):
            super().handle()

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Asked(parts.path, dict(parse_qsl(parts.query)), headers, body)
        with self.api.lock:
            self.api.asked.append(request)
            route = self.api.routes.get(parts.path)
            reply = route(request) if route else Reply(b"no such path", 404)
        reply = reply if isinstance(reply, Reply) else Reply(reply)
        self.send_response(reply.status)
        own = {"Content-Type": "application/json", "Content-Length": str(len(reply.body))}
        for name, value in (own | reply.headers).items():
            self.send_header(name, value)
        self.end_headers()
        if reply.pause:
            for byte in reply.body:
                time.sleep(reply.pause)
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
        else:
            self.wfile.write(reply.body[: reply.cut_to])
        self.close_connection = reply.cut_to is not None

    do_GET = do_POST = _answer  # noqa: N815


@contextmanager
def serving_api() -> Iterator[Api]:
    """Run an API on a free port of loopback."""
    api = Api()
    with on_loopback(type("Handler", (_Handler,), {"api": api})) as api.url:
        yield api
