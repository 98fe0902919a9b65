"""Files go to S3 by boto3, whose threads read, sign and send the parts of one side by side.

s3fs does all of it in one thread and sends parts in rounds, each as slow as its slowest:
https://github.com/fsspec/s3fs/issues/900
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any


def upload(
    source: Path,
    path: str,
    how: Mapping[str, str],
    part_bytes: int,
    parts_at_once: int,
    patience: tuple[float, float],
) -> None:
    """Copy a file of this machine to ``bucket/key``, in parts where it is longer than one.

    ``how`` are S3's own arguments of an object; ``patience`` is the seconds to wait for a
    connection and in silence. Raises what botocore raises.
    """
    from boto3.s3.transfer import TransferConfig, create_transfer_manager

    config = TransferConfig(
        multipart_threshold=part_bytes,
        multipart_chunksize=part_bytes,
        max_concurrency=parts_at_once,
    )
    bucket, _, key = path.partition("/")
    # not the client's upload_file, which makes a text of what botocore raises
    with create_transfer_manager(client(*patience), config) as transfers:
        transfers.upload(str(source), bucket, key, extra_args=dict(how)).result()


@cache
def client(connect_seconds: float, silence_seconds: float) -> Any:
    """A client of boto3's, which finds endpoint and credentials by the SDK's own variables."""
    from boto3.session import Session
    from botocore.config import Config

    # a session of its own: boto3's common one must not be used by two threads at once
    config = Config(connect_timeout=connect_seconds, read_timeout=silence_seconds)
    return Session().client("s3", config=config)
