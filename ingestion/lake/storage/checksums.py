"""Prove that a store holds what it was given, by the checksum that it computed of its object.

S3 and Google compute one of the whole object, so its bytes need not be read back. An object in a
store that computes none is read again.
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

# The checksum to ask S3 for. Without this, S3 has none of an object that came in parts.
S3_CHECKSUM = {"ChecksumAlgorithm": "CRC32", "ChecksumType": "FULL_OBJECT"}


@dataclass(frozen=True)
class Digests:
    """Of one file, from one read: its sha256, and the checksum that its store will compute."""

    sha256: str
    checksum: str


def makes_checksums(scheme: str) -> bool:
    """Whether stores of this scheme compute a checksum of a whole object."""
    return scheme in ("s3", "gs")


def digests(source: Path, scheme: str) -> Digests:
    """Read a local file and compute its sha256 and the store's kind of checksum."""
    update = _update(scheme)
    sha256, crc = hashlib.sha256(), 0
    with source.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            sha256.update(piece)
            crc = update(piece, crc)
    return Digests(sha256.hexdigest(), base64.b64encode(crc.to_bytes(4, "big")).decode())


def checksum_of(fs: Any, scheme: str, path: str) -> str | None:
    """The store's own checksum of an object; none if it has none of the whole object."""
    if scheme == "s3":
        bucket, _, key = path.partition("/")
        told = fs.call_s3("head_object", Bucket=bucket, Key=key, ChecksumMode="ENABLED")
        # a checksum of the parts' checksums ends in their number
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
