"""Opens fsspec's file systems.

Each cloud's SDK finds credentials and endpoint by its own variables; nothing here reads or holds a
secret.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import fsspec

BUCKETS = ("s3", "gs", "az")
# The size of one read or sent part, and how many parts of one file are under way at once.
PART_BYTES = 8 << 20
PARTS_AT_ONCE = 4
CONNECT_SECONDS = 5
# After this silence of the store an attempt has failed; the SDK makes the next one.
SILENCE_SECONDS = 30
PAUSE_SECONDS = 1


def file_system(scheme: str, encryption: str = "") -> fsspec.AbstractFileSystem:
    """fsspec's file system for ``file``, ``s3``, ``gs`` or ``az``, which gives up after minutes."""
    options = file_system_options(scheme, encryption)
    with _no_defaults_of_others():
        fs = file_system_class(scheme)(**options)
    _limit_patience(scheme, fs)
    return fs


@contextmanager
def _no_defaults_of_others() -> Iterator[None]:
    """Open a file system without the options from ``FSSPEC_*`` and fsspec's files in home.

    Users set the SDK's own variables; these options would be a second way beside them.
    """
    kept = dict(fsspec.config.conf)
    fsspec.config.conf.clear()
    try:
        yield
    finally:
        fsspec.config.conf.update(kept)


def _limit_patience(scheme: str, fs: Any) -> None:
    """Make a file system give up after some minutes, without logs, where its options cannot."""
    if scheme == "s3":
        # the SDK retries by itself, and s3fs retries its reads twice over
        fs.retries = 2
    if scheme == "gs":
        # logs every exception with its traceback, to stderr where logging is not set up
        logger = logging.getLogger("gcsfs")
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())
    if scheme == "az":
        # adlfs passes on none of the SDK's options, and by default the SDK waits ten minutes:
        # https://github.com/fsspec/adlfs/issues/502
        client = fs.service_client
        retries = client._config.retry_policy
        retries.total_retries = 2
        retries.initial_backoff = retries.random_jitter_range = PAUSE_SECONDS
        retries.increment_base = 2 * PAUSE_SECONDS
        connections = client._pipeline._transport.connection_config
        connections.timeout, connections.read_timeout = CONNECT_SECONDS, SILENCE_SECONDS


def file_system_class(scheme: str) -> Any:
    """fsspec's file system for a scheme; raises ``ImportError`` where its extra is not installed.

    The slow imports wait until a lake is opened.
    """
    # Without this, gcsfs asks Google by gRPC for each bucket's kind. With an emulator nobody
    # answers, and that takes a minute: https://github.com/fsouza/fake-gcs-server/issues/2069
    os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    return fsspec.get_filesystem_class(scheme)


def file_system_options(scheme: str, encryption: str = "") -> dict[str, Any]:
    """The options for fsspec's file system of a scheme; the SDK finds the credentials."""
    if scheme == "file":
        return {}
    # another process may have landed meanwhile
    options: dict[str, Any] = {"use_listings_cache": False}
    if scheme == "s3":
        options["config_kwargs"] = {
            "connect_timeout": CONNECT_SECONDS,
            "read_timeout": SILENCE_SECONDS,
        }
        options["s3_additional_kwargs"] = s3_encryption(encryption)
    if scheme == "gs":
        # An emulator takes no credentials. Otherwise use those of Google's SDK, never anonymous.
        emulated = bool(os.environ.get("STORAGE_EMULATOR_HOST"))
        options["token"] = "anon" if emulated else "google_default"
        from aiohttp import ClientTimeout

        # a number would limit the whole request, and a slow line is not silence
        options["requests_timeout"] = ClientTimeout(
            total=None, sock_connect=CONNECT_SECONDS, sock_read=SILENCE_SECONDS
        )
    if scheme == "az":
        options["max_concurrency"] = PARTS_AT_ONCE
        options["connection_timeout"] = CONNECT_SECONDS
        options["read_timeout"] = SILENCE_SECONDS
    return options


def s3_encryption(encryption: str) -> dict[str, str]:
    """S3's own arguments for the encryption of an object."""
    if encryption in ("", "AES256", "aws:kms", "aws:kms:dsse"):
        return {"ServerSideEncryption": encryption} if encryption else {}
    return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": encryption}
