"""The HTTP session of one fetch: dlt's own, which asks one server only and keeps numbers exact."""

import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from dlt.sources.helpers.requests import Client
from requests import PreparedRequest, Response, Session
from requests.adapters import HTTPAdapter

from ingestion.errors import FetchError
from ingestion.sources.files.http import (
    CONNECT_SECONDS,
    is_same_server,
    may_pass,
    patience,
    server_name,
)
from ingestion.sources.files.pace import keep_pace
from ingestion.sources.rest_api import exact_json

# the longest that one fetch waits for a server that refuses, over all its pages
WAIT_SECONDS = 1800.0
# the most of one page: it is kept in memory, as text and as values
PAGE_BYTES = 256 << 20


def session(urls: Sequence[str], least_rate: int = 0) -> Session:
    """A session that asks only the servers of these addresses.

    dlt tries again after 429, 5xx and broken connections, and waits as ``Retry-After`` says, each
    time at most as long as its setting ``RUNTIME__REQUEST_MAX_RETRY_DELAY``. An answer of less than
    ``least_rate`` bytes a second counts as a broken connection.
    """
    config = patience()
    found: Session = Client(
        request_timeout=(CONNECT_SECONDS, config.request_timeout),
        request_max_attempts=config.request_max_attempts,
        request_backoff_factor=config.request_backoff_factor,
        request_max_retry_delay=config.request_max_retry_delay,
        raise_for_status=False,
        exceptions=(),
        retry_condition=lambda _, exc: exc is not None and may_pass(exc),
    ).session
    for scheme in ("http://", "https://"):
        found.mount(scheme, _Adapter(urls, least_rate))
    return found


class _Adapter(HTTPAdapter):
    """Sends each request, also a redirect's and a next page's, or refuses it."""

    def __init__(self, urls: Sequence[str], least_rate: int):
        super().__init__()
        self._least_rate = least_rate
        self._servers = [urlsplit(url) for url in urls]
        self._refused_at: float | None = None
        self._waited = 0.0

    def send(self, request: PreparedRequest, *args: Any, **kwargs: Any) -> Response:
        asked = urlsplit(request.url or "")
        if not any(is_same_server(server, asked) for server in self._servers):
            # the request may carry secrets
            raise FetchError(
                f"{server_name(self._servers[0])} sends on to {server_name(asked)}, which was not"
                " asked. If the API is there now, write that address as url."
            )
        if self._refused_at is not None:
            self._waited += time.monotonic() - self._refused_at
            if self._waited > WAIT_SECONDS:
                raise FetchError(
                    f"the server has let us wait for {self._waited / 60:.0f} minutes in all. Ask"
                    " for fewer rows, or for larger pages, or run again later."
                )
        response = super().send(request, *args, **kwargs)
        is_refused = response.status_code == 429 or response.status_code >= 500
        self._refused_at = time.monotonic() if is_refused else None
        keep_pace(response, self._least_rate)
        response.__class__ = _ExactResponse  # requests has no other way to name a class
        return response


class _ExactResponse(Response):
    """A response whose JSON is parsed once, with every number as it was received."""

    def iter_content(self, *args: Any, **kwargs: Any) -> Any:
        """Give the content, unpacked; raises ``FetchError`` where it does not end."""
        size = 0
        for chunk in super().iter_content(*args, **kwargs):
            size += len(chunk)
            if size > PAGE_BYTES:
                raise FetchError(
                    f"{server_name(urlsplit(self.url))} answers with a page of more than"
                    f" {PAGE_BYTES / 1e6:,.0f} MB. Ask for smaller pages."
                )
            yield chunk

    def json(self, **_: Any) -> Any:
        """Parse the content; raises ``FetchError`` where it is no JSON."""
        if "_exact" not in self.__dict__:
            self._exact = self._read()
        return self._exact

    def _read(self) -> Any:
        server = server_name(urlsplit(self.url))
        content = self.content
        if not content.strip():
            raise FetchError(f"{server} answers {self.status_code} with nothing. Run again later.")
        if content[:1024].lstrip().lower().startswith((b"<!doctype html", b"<html")):
            raise FetchError(
                f"{server} answers with an HTML page, not with JSON. Check url and endpoint.path;"
                " a network that asks for a login answers so, and a server in trouble."
            )
        try:
            return exact_json.read(content, self.encoding)
        except (ValueError, ArithmeticError, LookupError, RecursionError) as exc:
            what = " ".join(str(exc).split()) or type(exc).__name__
            raise FetchError(
                f"{server} answers with {len(content):,} bytes that are not whole JSON: {what}."
                " Run again; if it stays so, the API is at fault."
            ) from exc
