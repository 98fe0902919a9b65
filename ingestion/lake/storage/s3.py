"""Files go to S3 by boto3, whose threads read, sign and send the parts of one side by side.

s3fs does all of it in one thread and sends parts in rounds, each as slow as its slowest:
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
    """Copy a file of this machine to ``bucket/key``, in parts where it is longer than one.

    ``how`` are S3's own arguments of an object. Raises what botocore raises.
    """
    from boto3.s3.transfer import TransferConfig, create_transfer_manager

    config = TransferConfig(
        multipart_threshold=part_bytes,
        multipart_chunksize=part_bytes,
        max_concurrency=parts_at_once,
        # the other one is chosen by machine, and raises faults of its own
        preferred_transfer_client="classic",
    )
    with _one_at_a_time:  # cache() lets two threads make two
        s3 = client(silence_seconds)
    bucket, _, key = path.partition("/")
    # not the client's upload_file, which makes a text of what botocore raises
    with create_transfer_manager(s3, config) as transfers:
        transfers.upload(str(source), bucket, key, extra_args=dict(how)).result()


@cache
def client(silence_seconds: float) -> Any:
    """A client of boto3's, which finds endpoint and credentials by the SDK's own variables."""
    from boto3.session import Session
    from botocore.config import Config

    config = Config(
        # also how long a store may pause while it is sent to, which a slow line is no fault of
        connect_timeout=silence_seconds,
        read_timeout=silence_seconds,
        max_pool_connections=CONNECTIONS,
    )
    return Session().client("s3", config=config)
