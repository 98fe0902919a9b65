"""A small HTTP server on a free port of loopback, which runs as long as a test needs it."""

import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class QuietHandler(BaseHTTPRequestHandler):
    """A handler that keeps a connection open, as real servers do, and logs nothing."""

    protocol_version = "HTTP/1.1"

    def reset(self) -> None:
        """End the connection so that the client sees a reset."""
        # a close that discards unsent data sends a reset
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Log nothing."""


class _Server(ThreadingHTTPServer):
    tls: ssl.SSLContext | None = None
    daemon_threads = True
    request_queue_size = 64  # a connection that finds the queue full waits for a second

    def finish_request(self, request: socket.socket, client_address: tuple[str, int]) -> None:  # type: ignore[override]  # a stub says Any socket
        """Do the TLS handshake in the connection's own thread."""
        if self.tls is None:
            super().finish_request(request, client_address)
            return
        # a client that does not trust the certificate closes the connection
        with suppress(OSError), self.tls.wrap_socket(request, server_side=True) as wrapped:
            super().finish_request(wrapped, client_address)


@contextmanager
def on_loopback(handler: type[QuietHandler], tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Run a server with this handler; gives its address."""
    server = _Server(("127.0.0.1", 0), handler)
    server.tls = tls
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
