"""Replace an object only if nobody has replaced it since it was read.

S3 compares its ETag (``If-Match``), Google the generation, Azure its ETag. In a folder the content
is compared; there, who replaces holds a lock.
"""

import hashlib
import json
from typing import Any
from urllib.parse import quote

from ingestion.object_stores.errors import names_of

# how the SDKs say that an object has another state than was asked for, or that two ask at once
REFUSED = {
    "PreconditionFailed",
    "ConditionalRequestConflict",
    "FileExistsError",  # gcsfs
    "ResourceExistsError",
    "ResourceModifiedError",
}

UNKNOWN = "NotImplemented"  # how a store says that it knows no such condition


def read(fs: Any, scheme: str, path: str) -> tuple[bytes, str]:
    """The content of an object, and the store's tag of this state of it."""
    bucket, _, key = path.partition("/")
    if scheme in ("s3", "az"):
        reading = _read_s3 if scheme == "s3" else _read_azure
        found: tuple[bytes, str] = _wait(fs, reading(fs, bucket, key))
        return found
    if scheme == "gs":
        headers, content = fs.call("GET", "b/{}/o/{}", bucket, key, alt="media")
        return content, headers["x-goog-generation"]
    content = fs.cat_file(path)
    return content, hashlib.sha256(content).hexdigest()


def replace(
    fs: Any, scheme: str, path: str, content: bytes, tag: str | None, options: dict[str, Any]
) -> bool:
    """Write an object of a bucket, if it has this tag; None means that it must not be there.

    Returns false where it has another one. ``options`` are those of the store for an object; S3's
    file system adds them itself. A store that does not know such a condition writes in any case.
    """
    bucket, _, key = path.partition("/")
    try:
        if scheme == "s3":
            _write_s3(fs, bucket, key, content, tag)
        elif scheme == "gs":
            _write_google(fs, bucket, key, content, tag, options)
        else:
            _wait(fs, _write_azure(fs, bucket, key, content, tag, options))
    except Exception as exc:
        if names_of(exc) & REFUSED:
            return False
        raise
    return True


def _wait(fs: Any, work: Any) -> Any:
    from fsspec.asyn import sync

    async def done() -> Any:
        return await work

    return sync(fs.loop, done)


async def _read_s3(fs: Any, bucket: str, key: str) -> tuple[bytes, str]:
    found = await fs._call_s3("get_object", Bucket=bucket, Key=key)
    async with found["Body"] as body:
        return await body.read(), found["ETag"]


def _write_google(
    fs: Any, bucket: str, key: str, content: bytes, tag: str | None, options: dict[str, Any]
) -> None:
    # in two parts, as gcsfs does: its own upload knows no generation but 0
    border = hashlib.sha256(content).hexdigest()
    head = (
        f"--{border}\nContent-Type: application/json; charset=UTF-8\n\n{json.dumps({'name': key})}"
        f"\n--{border}\nContent-Type: application/octet-stream\n\n"
    )
    fs.call(
        "POST",
        f"{fs._location}/upload/storage/v1/b/{quote(bucket)}/o",
        uploadType="multipart",
        headers={"Content-Type": f'multipart/related; boundary="{border}"'},
        data=head.encode() + content + f"\n--{border}--".encode(),
        ifGenerationMatch=tag or "0",
        **options,
    )


def _write_s3(fs: Any, bucket: str, key: str, content: bytes, tag: str | None) -> None:
    condition = {"IfMatch": tag} if tag else {"IfNoneMatch": "*"}
    try:
        fs.call_s3("put_object", Bucket=bucket, Key=key, Body=content, **condition)
    except Exception as exc:
        if UNKNOWN not in names_of(exc):
            raise
        fs.call_s3("put_object", Bucket=bucket, Key=key, Body=content)


async def _read_azure(fs: Any, container: str, name: str) -> tuple[bytes, str]:
    from azure.core.exceptions import ResourceNotFoundError

    async with fs.service_client.get_blob_client(container=container, blob=name) as blob:
        try:
            found = await blob.download_blob()
        except ResourceNotFoundError as exc:
            raise FileNotFoundError(name) from exc
        return await found.readall(), found.properties.etag


async def _write_azure(
    fs: Any, container: str, name: str, content: bytes, tag: str | None, options: dict[str, Any]
) -> None:
    from azure.core import MatchConditions

    condition: dict[str, Any] = {"overwrite": bool(tag)}
    if tag:
        condition |= {"etag": tag, "match_condition": MatchConditions.IfNotModified}
    async with fs.service_client.get_blob_client(container=container, blob=name) as blob:
        await blob.upload_blob(data=content, **condition, **options)
