"""How the publisher is asked: by dlt's HTTP client, or of a folder as of a web server."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dlt.sources.helpers.requests import Client, Response

CONNECTIONS = 8
CONNECT_SECONDS = 10.0
NOT_PUBLISHED = {403, 404}  # CloudFront answers 403 for a key that does not exist


@cache
def client() -> "Client":
    """dlt's HTTP client: retries with backoff on 429, 5xx and broken connections.

    How often and how patiently is dlt's own setting, ``RUNTIME__REQUEST_*``.
    """
    from dlt.common.configuration.resolve import resolve_configuration
    from dlt.common.configuration.specs import RuntimeConfiguration
    from dlt.sources.helpers.requests import Client

    config = resolve_configuration(RuntimeConfiguration())
    return Client(
        request_timeout=(CONNECT_SECONDS, config.request_timeout),
        request_max_attempts=config.request_max_attempts,
        request_backoff_factor=config.request_backoff_factor,
        request_max_retry_delay=config.request_max_retry_delay,
        max_connections=CONNECTIONS,
        raise_for_status=False,
        session_attrs={"headers": {"Accept-Encoding": "identity"}},
    )


def response_fingerprint(
    response: "Response",
) -> tuple[str | None, datetime | None, int | None]:
    """Etag, last-modified date and length of what a server answered; none where it does not say."""
    length = response.headers.get("Content-Length")
    try:
        modified = parsedate_to_datetime(response.headers.get("Last-Modified", ""))
    except ValueError:
        modified = None  # none, or nonsense
    return response.headers.get("ETag"), modified, int(length) if length else None


def file_fingerprint(path: Path) -> tuple[str, datetime, int]:
    """Etag, last-modified date and length of a file; raises ``OSError``."""
    stat = path.stat()
    # the form that web servers give an etag that stands for modification time and size
    etag = f"{stat.st_mtime_ns:x}-{stat.st_size:x}"
    return etag, datetime.fromtimestamp(stat.st_mtime, UTC), stat.st_size


def root_cause(exc: BaseException) -> str:
    """What went wrong first, in its own words."""
    while exc.__context__ is not None:
        exc = exc.__context__
    return str(exc) or type(exc).__name__
