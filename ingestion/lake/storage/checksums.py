"""Whether a store holds what it was given, by the checksum that it made itself of what it holds.

S3 and Google make one of the whole object, so that its bytes need not come back to be proved; what
makes none is read again.
"""

import base64
import hashlib
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PIECE_BYTES = 1 << 20
Update = Callable[[bytes, int], int]

# What a store is asked to make; without it S3 has none of an object that came in parts.
S3_CHECKSUM = {"ChecksumAlgorithm": "CRC32", "ChecksumType": "FULL_OBJECT"}


@dataclass(frozen=True)
class Digests:
    """Of one file, read once: its sha256, and the checksum of the store that it goes to."""

    sha256: str
    checksum: str


def makes_checksums(scheme: str) -> bool:
    """Whether such stores make a checksum of the whole of an object."""
    return scheme in ("s3", "gs")


def digests(source: Path, scheme: str) -> Digests:
    """Read a file of this machine that goes to a store that makes checksums."""
    update = _update(scheme)
    sha256, crc = hashlib.sha256(), 0
    with source.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            sha256.update(piece)
            crc = update(piece, crc)
    return Digests(sha256.hexdigest(), base64.b64encode(crc.to_bytes(4, "big")).decode())


def checksum_of(fs: Any, scheme: str, path: str) -> str | None:
    """What the store says that it holds; none where it says nothing about the whole of it."""
    if scheme == "s3":
        bucket, _, key = path.partition("/")
        told = fs.call_s3("head_object", Bucket=bucket, Key=key, ChecksumMode="ENABLED")
        # one of parts' checksums has their number behind it
        return told.get("ChecksumCRC32") if told.get("ChecksumType") == "FULL_OBJECT" else None
    if scheme == "gs":
        crc32c: str | None = fs.info(path).get("crc32c")
        return crc32c
    return None


def _update(scheme: str) -> Update:
    if scheme == "s3":
        return zlib.crc32
    import google_crc32c

    return lambda piece, crc: google_crc32c.extend(crc, piece)
