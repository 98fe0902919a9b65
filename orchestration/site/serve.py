"""Serve a site to browsers on this machine only."""

import functools
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from ingestion.errors import MedallionError

LOOPBACK = "127.0.0.1"


class Handler(SimpleHTTPRequestHandler):
    """Serves the files of the site, and writes no log."""

    def log_message(self, *_: object) -> None:
        """Write nothing."""

    def end_headers(self) -> None:
        """Tell the browser to ask again each time: a page is replaced each night."""
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()


def server_of(folder: Path, port: int = 0) -> ThreadingHTTPServer:
    """A server of the folder on loopback; raises ``MedallionError`` if the port is taken."""
    handler = functools.partial(Handler, directory=str(folder))
    try:
        return ThreadingHTTPServer((LOOPBACK, port), handler)
    except OSError as exc:
        raise MedallionError(
            f"The site cannot be shown at port {port}: {exc.strerror}. Choose another with --port."
        ) from exc


def serve(folder: Path, port: int, say: Callable[[str], object]) -> None:
    """Serve the site until Ctrl-C, and open it in the browser."""
    with server_of(folder, port) as server:
        address = f"http://{LOOPBACK}:{server.server_address[1]}/"
        say(f"{address} shows it until Ctrl-C")
        webbrowser.open(address)
        with suppress(KeyboardInterrupt):
            server.serve_forever()
