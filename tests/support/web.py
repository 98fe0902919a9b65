"""A publisher on loopback: serves files over HTTP as TLC's CDN does, with faults on demand."""

import hashlib
import socket
import struct
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MODIFIED = datetime(2024, 3, 1, 12, 30, tzinfo=UTC)
# Nothing here takes long: what waits longer is stuck, and is let go so that its test can fail.
PATIENCE_SECONDS = 20.0


@dataclass(frozen=True)
class Resource:
    """What the publisher holds at one path; without etag, no validator is sent."""

    body: bytes
    etag: str | None
    headers: dict[str, str]


@dataclass(frozen=True)
class Request:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]


@dataclass(frozen=True)
class Status:
    """Answer with this status and no body."""

    code: int


@dataclass(frozen=True)
class Break:
    """Promise the whole body, send so many bytes of it, and reset (or, ``clean``, close)."""

    after: int
    clean: bool = False


@dataclass(frozen=True)
class Stall:
    """Promise the whole body, send so many bytes of it, and then nothing until released."""

    after: int


Fault = Status | Break | Stall


@dataclass
class Web:
    """The server as a test sees it: what it publishes, how it misbehaves, what it was asked."""

    url: str = ""
    ranges: bool = True
    requests: list[Request] = field(default_factory=list)
    faults: dict[tuple[str, str], Iterator[Fault]] = field(default_factory=dict)
    most_at_once: int = 0
    wait_for_more_than: int = 0
    released: threading.Event = field(default_factory=threading.Event)
    _resources: dict[str, Resource] = field(default_factory=dict)
    _active: int = 0
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def publish(
        self,
        path: str,
        body: bytes,
        etag: str | None = "by content",
        last_modified: str | None = format_datetime(MODIFIED, usegmt=True),
    ) -> str:
        """Serve ``body`` at ``path`` from now on; return its address."""
        if etag == "by content":
            etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        headers = {"ETag": etag, "Last-Modified": last_modified}
        self._resources[path] = Resource(body, etag, {k: v for k, v in headers.items() if v})
        return f"{self.url}/{path}"

    def withdraw(self, path: str) -> None:
        """Serve it no more."""
        del self._resources[path]

    def fail(self, method: str, path: str, faults: Iterable[Fault]) -> None:
        """Answer the next requests for ``path`` so, one fault each, and then as usual."""
        self.faults[method, path] = iter(faults)

    def asked(self, method: str, path: str | None = None) -> list[Request]:
        """Every request of one method, for one path or for any."""
        return [r for r in self.requests if r.method == method and path in (None, r.path)]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    web: Web

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass

    def _answer(self) -> None:
        web, path = self.web, self.path.lstrip("/")
        with web._changed:
            web.requests.append(Request(self.command, path, dict(self.headers)))
            web._active += 1
            web.most_at_once = max(web.most_at_once, web._active)
            web._changed.notify_all()
            if web.wait_for_more_than:
                web._changed.wait_for(lambda: web.most_at_once > web.wait_for_more_than, 0.3)
        try:
            fault = next(web.faults.get((self.command, path), iter(())), None)
            resource = web._resources.get(path)
            if isinstance(fault, Status):
                self._status(fault.code)
            elif resource is None:
                self._status(403)
            else:
                self._send(resource, fault)
        except OSError:
            self.close_connection = True  # the client was killed, or gave up
        finally:
            with web._changed:
                web._active -= 1

    def _status(self, code: int) -> None:
        self.send_response(code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, resource: Resource, fault: Fault | None) -> None:
        body, wanted = resource.body, self.headers.get("Range")
        if_range = self.headers.get("If-Range")
        if wanted and self.web.ranges and (if_range is None or if_range == resource.etag):
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(body):
                self._status(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            body = body[start:]
        else:
            self.send_response(200)
        for name, value in resource.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault is None:
            self.wfile.write(body)
            return
        self.wfile.write(body[: fault.after])
        self.wfile.flush()
        if isinstance(fault, Stall):
            self.web.released.wait(PATIENCE_SECONDS)
        elif not fault.clean:
            # closing with unsent data thrown away is what a reset looks like to the client
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True


@contextmanager
def serving() -> Iterator[Web]:
    """A publisher on a free port of loopback."""
    web = Web()
    handler = type("Handler", (_Handler,), {"web": web})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    web.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield web
    finally:
        web.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
