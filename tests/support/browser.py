"""Debian's Chromium, driven by its own protocol: https://chromedevtools.github.io/devtools-protocol"""

import base64
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from websockets.sync.client import ClientConnection, connect

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--disable-features=Translate,OptimizationHints,MediaRouter",
    "--metrics-recording-only",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)
SECONDS = 60.0


def program() -> str | None:
    """The path of the browser; None where there is none."""
    return next((path for name in PROGRAMS if (path := shutil.which(name))), None)


class Page:
    """One tab: ``errors`` are what the console and the scripts complain of."""

    def __init__(self, socket: ClientConnection):
        self._socket = socket
        self._number = 0
        self.errors: list[str] = []
        self.requests: list[str] = []
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send one command and await its answer."""
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            said = json.loads(self._socket.recv(timeout=SECONDS))
            if said.get("id") == self._number:
                assert "error" not in said, f"{method}: {said['error']}"
                return dict(said["result"])
            self._note(said)

    def _note(self, said: dict[str, Any]) -> None:
        what = said.get("params", {})
        match said.get("method"):
            case "Network.requestWillBeSent":
                self.requests.append(what["request"]["url"])
            case "Runtime.exceptionThrown":
                details = what["exceptionDetails"]
                self.errors.append(
                    details.get("exception", {}).get("description") or details["text"]
                )
            case "Runtime.consoleAPICalled" if what["type"] in ("error", "warning", "assert"):
                self.errors.append(
                    " ".join(str(a.get("value") or a.get("description")) for a in what["args"])
                )
            case "Log.entryAdded" if what["entry"]["level"] in ("error", "warning"):
                entry = what["entry"]
                self.errors.append(f"{entry['text']} {entry.get('url', '')}")

    def evaluate(self, script: str) -> Any:
        """The value of an expression in the page, awaited if it is a promise."""
        done = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def until(self, script: str) -> None:
        """Wait until an expression is true in the page."""
        end = time.monotonic() + SECONDS
        while not self.evaluate(f"Boolean({script})"):
            assert time.monotonic() < end, f"never true: {script}; {self.errors}"
            time.sleep(0.02)

    def open(self, address: str) -> None:
        """Open an address, and wait until the page has drawn all."""
        self.call("Page.navigate", url=address)
        self.until(
            f"location.href.startsWith({address.partition('#')[0]!r})"
            " && document.documentElement?.dataset.ready === 'yes'"
        )

    def show_as(self, width: int, height: int, dark: bool = False, scale: float = 1) -> None:
        """The size of the window, and whether its system prefers dark colours."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=width < 600,
        )
        scheme = "dark" if dark else "light"
        self.call(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": scheme}],
        )

    def screenshot(self, path: Path, whole: bool = True) -> None:
        """Save a picture of the page, or of what the window shows of it."""
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        if whole:
            size = self.call("Page.getLayoutMetrics")["cssContentSize"]
            shot = self.call(
                "Page.captureScreenshot",
                format="png",
                captureBeyondViewport=True,
                clip={"x": 0, "y": 0, "scale": 1} | {k: size[k] for k in ("width", "height")},
            )
        path.write_bytes(base64.b64decode(shot["data"]))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _value: object, _trace: TracebackType | None
    ) -> None:
        self._socket.close()


@contextmanager
def browser() -> Iterator[Page]:
    """Chromium with a profile of its own, and one tab of it."""
    path = program()
    assert path, "there is no Chromium"
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [path, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            with Page(_tab(Path(profile), process)) as page:
                yield page
        finally:
            process.terminate()
            process.wait(timeout=SECONDS)


def _tab(profile: Path, process: "subprocess.Popen[bytes]") -> ClientConnection:
    said = profile / "DevToolsActivePort"
    end = time.monotonic() + SECONDS
    while not (said.exists() and len(said.read_text().splitlines()) == 2):
        assert process.poll() is None, "Chromium has ended"
        assert time.monotonic() < end, "Chromium does not answer"
        time.sleep(0.02)
    port = said.read_text().splitlines()[0]
    import httpx

    tabs = httpx.get(f"http://127.0.0.1:{port}/json/list", trust_env=False).json()
    address = next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page")
    return connect(address, max_size=None, proxy=None)
