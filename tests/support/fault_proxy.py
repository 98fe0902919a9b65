"""A proxy before an object store that injects network faults on demand.

It forwards each request unchanged to the server, with the Host for which it was signed.
"""

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import repeat
from urllib.parse import urlsplit

import pytest

from tests.support.http_server import QuietHandler, on_loopback
from tests.support.processes import PATIENCE_SECONDS
from tests.support.stores import S3, forget_file_systems


@dataclass(frozen=True)
class Refuse:
    """Answer with an error in the format of S3."""

    status: int
    code: str


@dataclass(frozen=True)
class Hang:
    """Read the request and send nothing until released."""


@dataclass(frozen=True)
class Pause:
    """Read nothing of the request for this many seconds, and then all of it."""

    seconds: float


@dataclass(frozen=True)
class Cut:
    """Reset the connection in the middle of the answer."""


@dataclass(frozen=True)
class Flip:
    """Change one bit of the answer's body."""


@dataclass(frozen=True)
class Trickle:
    """Answer slowly: in small pieces over about a second, with only short pauses."""


@dataclass(frozen=True)
class Before:
    """Call ``do``, unseen by client and server, before the request is forwarded."""

    do: Callable[[], object]


Fault = Refuse | Hang | Pause | Cut | Flip | Trickle | Before


@dataclass
class FaultProxy:
    """The test's view of the proxy."""

    url: str = ""
    asked: list[str] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    _faults: list[tuple[str, str, Iterator[Fault]]] = field(default_factory=list)
    _from: tuple[int, Iterator[Fault]] | None = None

    def fail(self, method: str, fragment: str, fault: Fault, times: int | None = None) -> None:
        """Let requests with ``fragment`` in their path fail: the next ``times``, or all."""
        faults = repeat(fault) if times is None else repeat(fault, times)
        self._faults.append((method, fragment, faults))

    def fail_from(self, request: int, fault: Fault, times: int | None = None) -> None:
        """Let ``request`` requests pass; then fail the next ``times``, or all."""
        self._from = (
            len(self.asked) + request,
            repeat(fault) if times is None else repeat(fault, times),
        )

    def heal(self) -> None:
        """Let all requests pass again."""
        self._faults.clear()
        self._from = None

    def _next(self, method: str, path: str) -> Fault | None:
        self.asked.append(f"{method} {path}")
        if self._from and len(self.asked) > self._from[0]:
            return next(self._from[1], None)
        for wanted, fragment, faults in self._faults:
            if wanted == method and fragment in path and (fault := next(faults, None)):
                return fault
        return None


class _Handler(QuietHandler):
    proxy: FaultProxy
    server_address: str

    def _forward(self) -> None:
        fault = self.proxy._next(self.command, self.path)
        if isinstance(fault, Pause):
            self.proxy.released.wait(fault.seconds)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if isinstance(fault, Hang):
            self.proxy.released.wait(PATIENCE_SECONDS)
            self.close_connection = True
            return
        if isinstance(fault, Before):
            fault.do()
        if isinstance(fault, Refuse):
            status, headers = fault.status, [("Content-Type", "application/xml")]
            content = f"<Error><Code>{fault.code}</Code><Message>No.</Message></Error>".encode()
        else:
            status, headers, content = self._answer(body)
        if isinstance(fault, Flip):
            content = content[:-1] + bytes([content[-1] ^ 1])
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        told = {name.lower(): value for name, value in headers}.get("content-length", "0")
        self.send_header("Content-Length", told if self.command == "HEAD" else str(len(content)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if isinstance(fault, Cut):
            self.wfile.write(content[: len(content) // 2])
            self.wfile.flush()
            self.reset()
            return
        if isinstance(fault, Trickle):
            piece = len(content) // 10 + 1
            for start in range(0, len(content), piece):
                self.proxy.released.wait(0.1)
                self.wfile.write(content[start : start + piece])
                self.wfile.flush()
            return
        self.wfile.write(content)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _forward  # noqa: N815

    def _answer(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        address = urlsplit(self.server_address)
        connection = http.client.HTTPConnection(address.hostname or "", address.port)
        try:
            connection.putrequest(
                self.command, self.path, skip_host=True, skip_accept_encoding=True
            )
            for name, value in self.headers.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def handle(self) -> None:
        with suppress(OSError):  # the client gave up
            super().handle()


@contextmanager
def in_front_of(url: str) -> Iterator[FaultProxy]:
    """A proxy on a free port of loopback for the server at ``url``."""
    proxy = FaultProxy()
    handler = type("Handler", (_Handler,), {"proxy": proxy, "server_address": url})
    with on_loopback(handler) as proxy.url:
        try:
            yield proxy
        finally:
            proxy.released.set()


@contextmanager
def in_front_of_s3(s3: S3, attempts: int = 1) -> Iterator[FaultProxy]:
    """The network between us and S3, to which the SDK sends each request so often."""
    with (
        in_front_of(s3.environment["AWS_ENDPOINT_URL"]) as proxy,
        pytest.MonkeyPatch.context() as patched,
    ):
        patched.setenv("AWS_ENDPOINT_URL", proxy.url)
        patched.setenv("AWS_MAX_ATTEMPTS", str(attempts))
        forget_file_systems()
        yield proxy
