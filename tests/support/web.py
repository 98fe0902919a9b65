"""A publisher on loopback: it serves files over HTTP as TLC's CDN does, with faults on demand."""

import hashlib
import io
import shutil
import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import BinaryIO

from tests.support.http_server import QuietHandler, on_loopback

MODIFIED = datetime(2024, 3, 1, 12, 30, tzinfo=UTC)
# Nothing here takes long. A request that waits longer is stuck: end it, so that its test can fail.
PATIENCE_SECONDS = 20.0


@dataclass(frozen=True)
class Resource:
    """The content that the publisher has at one path."""

    body: bytes | Path
    etag: str | None
    headers: dict[str, str]

    @property
    def size(self) -> int:
        """The number of its bytes."""
        return self.body.stat().st_size if isinstance(self.body, Path) else len(self.body)

    def read_from(self, start: int) -> BinaryIO:
        """Open it at the byte ``start``."""
        source = self.body.open("rb") if isinstance(self.body, Path) else io.BytesIO(self.body)
        source.seek(start)
        return source


@dataclass(frozen=True)
class Request:
    """One request as it was received."""

    method: str
    path: str
    headers: dict[str, str]


@dataclass(frozen=True)
class Status:
    """Answer with this status and no body."""

    code: int


@dataclass(frozen=True)
class Break:
    """Announce the whole body, send ``after`` bytes, and reset (or, if ``clean``, close)."""

    after: int
    clean: bool = False


@dataclass(frozen=True)
class Stall:
    """Announce the whole body, send ``after`` bytes, and then nothing until released."""

    after: int


@dataclass(frozen=True)
class Answer:
    """Give this answer to any request."""

    code: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True)
class Drip:
    """Send the whole body in ``pieces`` pieces, with a pause before each."""

    pieces: int
    pause: float = 0.01


Fault = Status | Break | Stall | Answer | Drip


@dataclass
class Web:
    """The test's view of the server: its files, its faults and the requests that it received."""

    url: str = ""
    ranges: bool = True
    if_range: bool = True  # if not, a range comes from the present version, even if it has changed
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
        body: bytes | Path,
        etag: str | None = "of its own",
        last_modified: str | None = format_datetime(MODIFIED, usegmt=True),
    ) -> str:
        """Serve ``body``, or the file at that path, at ``path`` from now on; return its address."""
        if etag == "of its own":
            content = str(body).encode() if isinstance(body, Path) else body
            etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        headers = {"ETag": etag, "Last-Modified": last_modified}
        self._resources[path] = Resource(body, etag, {k: v for k, v in headers.items() if v})
        return f"{self.url}/{path}"

    def withdraw(self, path: str) -> None:
        """Stop serving this path."""
        del self._resources[path]

    def fail(self, method: str, path: str, faults: Iterable[Fault]) -> None:
        """Answer the next requests for ``path`` with these faults, one each, then as usual."""
        self.faults[method, path] = iter(faults)

    def asked(self, method: str, path: str | None = None) -> list[Request]:
        """All requests with one method, for one path or for all paths."""
        return [r for r in self.requests if r.method == method and path in (None, r.path)]


class _Handler(QuietHandler):
    web: Web

    def _answer(self) -> None:
        web, path = self.web, self.path.lstrip("/")
        with web._changed:
            web.requests.append(Request(self.command, path, dict(self.headers)))
            web._active += 1
            web.most_at_once = max(web.most_at_once, web._active)
            web._changed.notify_all()
            if web.wait_for_more_than:
                web._changed.wait_for(lambda: web.most_at_once > web.wait_for_more_than, 0.3)
            # before it is answered: the client may ask the next question at once
            web._active -= 1
        try:
            fault = next(web.faults.get((self.command, path), iter(())), None)
            resource = web._resources.get(path)
            if isinstance(fault, Status):
                self._status(fault.code)
            elif isinstance(fault, Answer):
                self._say(fault)
            elif resource is None:
                self._status(403)
            else:
                self._send(resource, fault)
        except OSError:
            self.close_connection = True  # the client was killed, or gave up

    do_HEAD = do_GET = _answer  # noqa: N815

    def _status(self, code: int) -> None:
        self.send_response(code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _say(self, answer: Answer) -> None:
        self.send_response(answer.code)
        for name, value in ({"Content-Length": str(len(answer.body))} | answer.headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)
        self.close_connection = True  # its stated length may be wrong

    def _send(self, resource: Resource, fault: Fault | None) -> None:
        size, start, wanted = resource.size, 0, self.headers.get("Range")
        end = size
        is_same = not self.web.if_range or self.headers.get("If-Range") in (None, resource.etag)
        if wanted and self.web.ranges and is_same:
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            start, end = int(first), min(int(last) + 1, size) if last else size
            if start >= size:
                self._status(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
        else:
            self.send_response(200)
        for name, value in resource.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(end - start))
        self.end_headers()
        if self.command == "HEAD":
            return
        with resource.read_from(start) as source:
            if fault is None and end == size:
                shutil.copyfileobj(source, self.wfile, 1 << 20)
                return
            if fault is None:
                self.wfile.write(source.read(end - start))
                return
            if isinstance(fault, Drip):
                piece = -(-(end - start) // fault.pieces)
                while content := source.read(piece):
                    time.sleep(fault.pause)
                    self.wfile.write(content)
                    self.wfile.flush()
                return
            self.wfile.write(source.read(fault.after))
        self.wfile.flush()
        if isinstance(fault, Stall):
            self.web.released.wait(PATIENCE_SECONDS)
        elif not fault.clean:
            self.reset()
        self.close_connection = True


@contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[Web]:
    """Run a publisher on a free port of loopback; with ``tls``, over https."""
    web = Web()
    handler = type("Handler", (_Handler,), {"web": web})
    with on_loopback(handler, tls) as web.url:
        try:
            yield web
        finally:
            web.released.set()
