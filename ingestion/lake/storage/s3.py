"""Uploads to S3 by boto3, whose threads read, sign and send the parts of a file in parallel.

s3fs does all of it in one thread and sends parts in rounds, each as slow as its slowest part:
https://github.com/fsspec/s3fs/issues/900
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

CONNECTIONS = 16  # parts of one file at a time, for as many files as are landed at once
_one_at_a_time = Lock()


def upload(
    source: Path,
    path: str,
    how: Mapping[str, str],
    part_bytes: int,
    parts_at_once: int,
    silence_seconds: float,
) -> None:
    """Copy a local file to ``bucket/key``, in several parts if it is longer than one part.

    ``how`` are S3's own arguments for an object. Raises what botocore raises.
    """
    from boto3.s3.transfer import TransferConfig, create_transfer_manager

    config = TransferConfig(
        multipart_threshold=part_bytes,
        multipart_chunksize=part_bytes,
        max_concurrency=parts_at_once,
        # boto3 would choose the other client on some machines, and that raises its own errors
        preferred_transfer_client="classic",
    )
    with _one_at_a_time:  # cache() alone would let two threads make two clients
        s3 = client(silence_seconds)
    bucket, _, key = path.partition("/")
    # not the client's upload_file, which turns botocore's exceptions into text
    with create_transfer_manager(s3, config) as transfers:
        transfers.upload(str(source), bucket, key, extra_args=dict(how)).result()


@cache
def client(silence_seconds: float) -> Any:
    """A boto3 client, which finds endpoint and credentials by the SDK's own variables."""
    from boto3.session import Session
    from botocore.config import Config

    config = Config(
        # also limits how long a store may pause during an upload; a slow line does not count
        connect_timeout=silence_seconds,
        read_timeout=silence_seconds,
        max_pool_connections=CONNECTIONS,
    )
    return Session().client("s3", config=config)
