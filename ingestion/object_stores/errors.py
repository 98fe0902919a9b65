"""Turns the errors of the storage SDKs into one line that a user can act on.

Errors are recognized by the SDKs' own names for them, so no SDK need be installed.
"""

import errno
from collections.abc import Iterator
from dataclasses import dataclass

from ingestion.errors import MedallionError, UnreachableError, UsageError, first_line

HOW_TO = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or a role",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS, or run: gcloud auth application-default login",
    "az": "AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT_NAME with _ACCOUNT_KEY,"
    " _SAS_TOKEN or what the Azure SDK finds by itself",
}
DOCS = "docs/lake.md"

NO_CREDENTIALS = {
    "NoCredentialsError",
    "PartialCredentialsError",
    "ProfileNotFound",
    "DefaultCredentialsError",
    "CredentialUnavailableError",
}
REFUSED = {
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "InvalidToken",
    "AuthenticationFailed",
    "ClientAuthenticationError",
    "RefreshError",
    "401",
}
SKEWED = {"RequestTimeTooSkewed", "RequestExpired"}
DENIED = {
    "AccessDenied",
    "AuthorizationFailure",
    "AuthorizationPermissionMismatch",
    "PermissionError",
    "403",
}
NO_BUCKET = {"NoSuchBucket", "InvalidBucketName", "ContainerNotFound", "FileNotFoundError", "404"}
BUSY = {
    "SlowDown",
    "ServiceUnavailable",
    "InternalError",
    "ServerBusy",
    "ProxyError",
    *(str(status) for status in (408, 429, 500, 502, 503, 504)),
}
FULL = {errno.ENOSPC, errno.EDQUOT}
SILENT = {
    "EndpointConnectionError",
    "ConnectTimeoutError",
    "ReadTimeoutError",
    "ConnectionClosedError",
    "HTTPClientError",
    "ServiceRequestError",
    "ServiceResponseError",
    "ServiceRequestTimeoutError",
    "ServiceResponseTimeoutError",
    "ClientConnectorError",
    "ClientConnectorDNSError",
    "ClientOSError",
    "ServerDisconnectedError",
    "ClientPayloadError",
    "TransportError",
    "TimeoutError",
    "FSTimeoutError",
    "ConnectionRefusedError",
    "ConnectionResetError",
}


@dataclass(frozen=True)
class _Rule:
    """Errors by name, and the message for them; ``{}`` is how to give the store credentials."""

    names: set[str]
    kind: type[MedallionError]
    line: str


RULES = (
    _Rule(NO_CREDENTIALS, MedallionError, "there are no credentials for it: set {how_to}"),
    _Rule(SKEWED, MedallionError, "this machine's clock is wrong: set it, for instance by NTP"),
    _Rule(REFUSED, MedallionError, "the store does not accept the credentials: check {how_to}"),
    _Rule(DENIED, MedallionError, "the store denies it; {docs} says which permissions it takes"),
    _Rule(NO_BUCKET, MedallionError, "there is no {bucket} there: make it, or correct the address"),
    _Rule(BUSY, UnreachableError, "the store is too busy ({reason}), also after some tries"),
    _Rule(SILENT, UnreachableError, "the store does not answer: {reason}"),
)


def explained(exc: Exception, doing: str, url: str) -> MedallionError:
    """The error as a ``MedallionError``; ``doing`` is what failed, as in *Cannot read the lake*."""
    scheme, _, place = url.partition("://")
    cannot = f"Cannot {doing} {url}: "
    if isinstance(exc, ImportError):
        return UsageError(
            f"{cannot}a package is missing. Install medallion[{scheme}], here: uv sync --extra"
            f" {scheme}"
        )
    reason = first_line(exc)
    if scheme == "file" and isinstance(exc, OSError) and exc.strerror and exc.filename:
        what = f"{exc.strerror}: {exc.filename2 or exc.filename!r}"  # of a copy, the target
        if exc.errno in FULL:
            return MedallionError(f"{cannot}{what}. Free some space, and try again.")
        return MedallionError(f"{cannot}{what}. Check that path and its permissions.")
    if scheme == "file":
        return MedallionError(f"{cannot}{reason}.")
    for cause in reversed(list(_causes(exc))):
        names = set(_names(cause))
        for rule in RULES:
            if rule.names & names:
                line = rule.line.format(
                    how_to=HOW_TO[scheme],
                    bucket=place.partition("/")[0],
                    docs=DOCS,
                    reason=first_line(cause),
                )
                return rule.kind(f"{cannot}{line}.")
    return exc if isinstance(exc, MedallionError) else MedallionError(f"{cannot}{reason}.")


def names_of(exc: Exception) -> set[str]:
    """The identifiers of an SDK error and of its causes: classes, the store's codes, statuses."""
    return {name for cause in _causes(exc) for name in _names(cause)}


def _causes(exc: BaseException | None) -> Iterator[BaseException]:
    """The error and its causes; dlt keeps a cause in ``exception``."""
    while exc is not None:
        yield exc
        inner = getattr(exc, "exception", None)
        exc = inner if isinstance(inner, BaseException) else exc.__cause__


def _names(exc: BaseException) -> Iterator[str]:
    """Identifiers of an SDK error: its classes, the store's code, an HTTP status."""
    yield from (cls.__name__ for cls in type(exc).__mro__)
    response = getattr(exc, "response", None)
    if isinstance(response, dict):
        yield str(response.get("Error", {}).get("Code"))
        yield str(response.get("ResponseMetadata", {}).get("HTTPStatusCode"))
    for name in ("error_code", "status_code", "code", "status"):
        code = getattr(exc, name, None)
        yield str(getattr(code, "value", code))
    text = str(exc)
    if text.startswith("Forbidden: "):  # how gcsfs reports 403
        yield "403"
    if "Must provide either a connection_string or account_name" in text:  # adlfs's text
        yield "NoCredentialsError"
