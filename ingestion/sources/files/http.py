"""Asks a publisher about its files: a web server by dlt's HTTP client, a folder in the same way.

A web server is asked by HEAD; if it refuses that, by a GET of one byte. No redirect to another
server is followed: only what the settings name is landed.
"""

import os
import re
import socket
import ssl
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import SplitResult, urljoin, urlsplit

from ingestion.errors import FetchError, UsageError

if TYPE_CHECKING:
    from dlt.sources.helpers.requests import Client, Response

CONNECTIONS = 8
CONNECT_SECONDS = 10.0
NOT_PUBLISHED = {403, 404}  # CloudFront answers 403 for a key that does not exist
HEAD_REFUSED = {405, 501}
# a retry does not help with these
_FOR_GOOD = {501, 505}
_PAUSES_TO_FIND_A_WAY = (0.5, 1.5)
_SECONDS_TO_FIND_A_WAY = 5.0
_PORTS = {"http": 80, "https": 443}


class Fingerprint(NamedTuple):
    """Identifies a file version without reading it; a field is none if it is unknown."""

    etag: str | None
    last_modified: datetime | None
    bytes: int | None

    @property
    def can_be_continued(self) -> bool:
        """Whether its parts can be told from another version's: only with a strong etag."""
        return bool(self.etag and re.fullmatch(r'"[\x21\x23-\x7e]*"', self.etag))


@cache
def client() -> "Client":
    """dlt's HTTP client: retries with backoff on 429, 5xx and broken connections.

    dlt's own settings, ``RUNTIME__REQUEST_*``, give the number of tries and the pauses.
    """
    from dlt.sources.helpers.requests import Client

    config = patience()
    return Client(
        request_timeout=(CONNECT_SECONDS, config.request_timeout),
        request_max_attempts=config.request_max_attempts,
        request_backoff_factor=config.request_backoff_factor,
        request_max_retry_delay=config.request_max_retry_delay,
        max_connections=CONNECTIONS,
        raise_for_status=False,
        status_codes=[429, *(code for code in range(500, 600) if code not in _FOR_GOOD)],
        exceptions=(),
        retry_condition=lambda _, exc: exc is not None and may_pass(exc),
        session_attrs={
            "headers": {"Accept-Encoding": "identity"},
            "hooks": {"response": [_stay_there]},
        },
    )


def patience() -> Any:
    """dlt's configuration of requests: the number of tries, the pauses and the timeouts."""
    from dlt.common.configuration.specs import RuntimeConfiguration

    from ingestion.dlt_context import REQUESTS

    # dlt's container has one configuration for all threads, and several threads call this at once
    config = RuntimeConfiguration()
    for name in REQUESTS:
        variable = f"RUNTIME__REQUEST_{name.upper()}"
        if value := os.environ.get(variable):
            try:
                number = int(value) if name == "max_attempts" else float(value)
            except ValueError:
                raise UsageError(f"{variable}: give a number.") from None
            setattr(config, f"request_{name}", number)
    return config


def may_pass(exc: BaseException) -> bool:
    """Whether the same request may succeed a moment later."""
    import requests

    broken = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
    return isinstance(exc, broken) and not isinstance(_root(exc), ssl.SSLCertVerificationError)


def _stay_there(response: Any, **_: Any) -> None:
    """Refuse a redirect to another server, or from ``https://`` to ``http://``."""
    import requests

    if not response.is_redirect:
        return
    asked = urlsplit(response.url)
    try:
        sent_to = urlsplit(urljoin(response.url, response.headers["location"]))
        stays = is_same_server(asked, sent_to)
    except ValueError:
        raise requests.RequestException("the redirect that it answers is no address") from None
    if not stays:
        raise requests.RequestException(
            f"{server_name(asked)} sends on to {server_name(sent_to)}, which was not asked. If that"
            " is where the files are now, name it in place of the other. If it is a login page of"
            " your network, log in first"
        )


def is_same_server(asked: SplitResult, sent_to: SplitResult) -> bool:
    """Whether both are on one server; from ``http://`` to its ``https://`` is no other server."""
    return sent_to.hostname == asked.hostname and (
        _server(sent_to) == _server(asked) or (asked.scheme, sent_to.scheme) == ("http", "https")
    )


def _server(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)


def server_name(parts: SplitResult) -> str:
    """The address of a server, for a message."""
    # without user, path and query: a redirect's address may hold a signature
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def ask(url: str, by_get: bool = False) -> Fingerprint | None:
    """The fingerprint of one file on a web server, or none if it is not published there.

    ``by_get`` asks for the first byte at once, without a HEAD. Raises ``FetchError`` where the
    server gives no usable answer.
    """
    try:
        response = None if by_get else client().head(url, allow_redirects=True)
        if response is None or response.status_code in HEAD_REFUSED:
            with client().get(url, headers={"Range": "bytes=0-0"}, stream=True) as response:
                pass  # only the headers are needed
        if response.status_code in NOT_PUBLISHED:
            return None
        if response.status_code != 416:  # an empty file has no first byte
            response.raise_for_status()
    except request_errors() as exc:
        raise FetchError(cannot_reach(url, exc)) from exc
    found = response_fingerprint(response)
    return found._replace(bytes=found.bytes or None)  # some servers report 0 for every file


def request_errors() -> tuple[type[Exception], ...]:
    """The exceptions of a request, also those of urllib3 that requests does not wrap."""
    import requests
    import urllib3

    return requests.RequestException, urllib3.exceptions.HTTPError, UnicodeError


def cannot_reach(url: str, exc: BaseException) -> str:
    """The message why an address cannot be reached, and what to do."""
    import requests

    host = urlsplit(url).hostname
    root, status = _root(exc), getattr(getattr(exc, "response", None), "status_code", None)
    advice = ""
    if isinstance(root, ssl.SSLCertVerificationError):
        advice = (
            " The certificate of this server is not trusted: where the server is your own, name"
            " the file of its authority in REQUESTS_CA_BUNDLE."
        )
    elif isinstance(root, ssl.SSLError):
        advice = " Does it speak https? If not, write http:// in the address."
    elif isinstance(exc, requests.exceptions.ProxyError):
        advice = " It was asked through the proxy that HTTP_PROXY or HTTPS_PROXY names."
    elif status == 401:
        advice = f" The server asks who you are: name user and password for {host} in ~/.netrc."
    return f"Cannot reach {url}: {root_cause(exc)}.{advice} Check the address and the network."


def no_way_to(url: str) -> str | None:
    """Why no network leads to an address, found within seconds; none if there is a way.

    Without this check, each file would be retried for as long as with a server in trouble.
    """
    from requests.utils import get_environ_proxies

    if get_environ_proxies(url):  # the proxy looks for the server
        return None
    parts = urlsplit(url)
    error: Exception | None = None
    began = time.monotonic()
    for pause in (*_PAUSES_TO_FIND_A_WAY, None):
        try:
            _find_way(parts.hostname or "", parts.port or _PORTS[parts.scheme])
        except (OSError, UnicodeError) as exc:
            error = exc
        else:
            return None
        # a name server that does not answer has taken long enough already
        if pause is None or time.monotonic() - began > _SECONDS_TO_FIND_A_WAY:
            break
        time.sleep(pause * patience().request_backoff_factor)
    return (
        f"Cannot reach {url}: {root_cause(error) if error else ''}. Check the address and the"
        " network. What needs no network: MEDALLION_TLC_URL=file:///path with a folder of files,"
        " and medallion run --sample."
    )


def _find_way(host: str, port: int) -> None:
    """Look up the name and a route; sends nothing to the server."""
    error: OSError | None = None
    for family, kind, protocol, _, address in socket.getaddrinfo(
        host, port, type=socket.SOCK_DGRAM
    ):
        try:
            with socket.socket(family, kind, protocol) as datagrams:
                datagrams.connect(address)
        except OSError as exc:
            error = exc
        else:
            return
    if error:
        raise error


def response_fingerprint(response: "Response") -> Fingerprint:
    """Etag, last-modified date and whole length, from a server's answer about a file."""
    etag = response.headers.get("ETag")
    part = part_of(response)
    length = part.total if part else _length(response.headers.get("Content-Length"))
    return Fingerprint(
        etag if etag and etag.isprintable() else None,
        _moment(response.headers.get("Last-Modified", "")),
        length,
    )


class Part(NamedTuple):
    """The bytes of a file that an answer holds: first, last, and the file's total."""

    first: int | None
    last: int | None
    total: int | None


_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(?:(\d+)|\*)", re.ASCII)


def part_of(response: "Response") -> Part | None:
    """The part of the file that an answer holds; none if it is the whole file."""
    if response.status_code not in (206, 416):
        return None
    found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    return (
        Part(*(int(n) if n else None for n in found.groups())) if found else Part(None, None, None)
    )


def _length(text: str | None) -> int | None:
    """A length, also where a proxy has repeated it: ``10, 10``."""
    said = {part.strip() for part in (text or "").split(",")}
    length = said.pop() if len(said) == 1 else ""
    return int(length) if re.fullmatch(r"\d{1,18}", length, re.ASCII) else None


def _moment(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None  # missing or invalid


def file_fingerprint(path: Path) -> Fingerprint:
    """Etag, last-modified date and length of a file; raises ``OSError``."""
    stat = path.stat()
    # the form of web servers' etags that are made from modification time and size
    etag = f"{stat.st_mtime_ns:x}-{stat.st_size:x}"
    return Fingerprint(etag, datetime.fromtimestamp(stat.st_mtime, UTC), stat.st_size)


def root_cause(exc: BaseException) -> str:
    """The message of the first exception in the chain of causes."""
    root = _root(exc)
    return " ".join(str(root).split()).rstrip(".") or type(root).__name__


def _root(exc: BaseException) -> BaseException:
    while before := exc.__cause__ or (None if exc.__suppress_context__ else exc.__context__):
        exc = before
    return exc
