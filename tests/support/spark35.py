"""Spark 3.5 with the jars of Iceberg and s3a: made from wheels once, into a cache folder.

The wheel of Spark itself has neither jar. Of Iceberg's runtime there is one without the library
Jackson, of which it expects a copy with other package names; it is made of Spark's own here.
"""

import os
import shutil
import struct
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingestion.locks import turn_with_file
from ingestion.progress import Quiet

WHEELS = (
    "pyspark==3.5.9",
    "snowpark-connect-deps-iceberg==1.0.3",  # Iceberg 1.10.2
    "bodo-iceberg-connector==2026.10",  # s3a of Hadoop 3.3
)
JARS = (
    "snowpark_connect_deps_iceberg/jars/iceberg-spark-runtime-3.5_2.12-*.jar",
    "bodo_iceberg_connector/jars/libs/hadoop-aws-3.3.*.jar",
    "bodo_iceberg_connector/jars/libs/aws-java-sdk-[cds][oy3]*.jar",  # core, dynamodb, s3
)
SHADED = "org.apache.iceberg.shaded."
JACKSON = "com.fasterxml.jackson"
# where the Thrift server does all the work; what Iceberg has read of its tables stays in memory
MEMORY = "2g"
# what Iceberg's tables need of a server
ICEBERG_SETTINGS = (
    "spark.sql.catalog.spark_catalog=org.apache.iceberg.spark.SparkSessionCatalog",
    "spark.sql.catalog.spark_catalog.type=hive",
    # the metastore of a cluster on one machine has no tables for locks
    "spark.hadoop.iceberg.engine.hive.lock-enabled=false",
)


def s3a_settings(account: dict[str, str]) -> tuple[str, ...]:
    """The settings of a server that reads a bucket, with the variables of an account."""
    values = {
        "endpoint": account["AWS_ENDPOINT_URL"],
        "access.key": account["AWS_ACCESS_KEY_ID"],
        "secret.key": account["AWS_SECRET_ACCESS_KEY"],
        "path.style.access": "true",
        "connection.ssl.enabled": "false",
        "aws.credentials.provider": "org.apache.hadoop.fs.s3a.SimpleAWSCredentialsProvider",
    }
    return tuple(f"spark.hadoop.fs.s3a.{name}={value}" for name, value in values.items())


def home() -> Path:
    """The folder of the Spark; the first test that needs it downloads 300 MB and makes it."""
    uv = os.environ.get("UV") or shutil.which("uv")
    if not uv:
        pytest.skip("Spark 3.5 needs uv, which installs it: https://docs.astral.sh/uv")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "medallion-tests" / "-".join(wheel.replace("==", "-") for wheel in WHEELS)
    folder.mkdir(parents=True, exist_ok=True)
    target, done = folder / "wheels", folder / "installed"
    with turn_with_file(folder / "install.lock", "Spark 3.5", Quiet()):
        if not done.exists():
            shutil.rmtree(target, ignore_errors=True)  # of an attempt that was killed
            command = [uv, "pip", "install", "--no-deps", "--target", str(target), *WHEELS]
            install = subprocess.run(command, capture_output=True, text=True, check=False)
            if install.returncode:
                pytest.skip(f"Spark 3.5 cannot be installed: {install.stderr.strip()[-500:]}")
            _put_together(target)
            done.touch()
    return target / "pyspark"


def _put_together(target: Path) -> None:
    """Move the jars of the other wheels to those of Spark."""
    jars = target / "pyspark" / "jars"
    for pattern in JARS:
        found = list(target.glob(pattern))
        assert found, pattern
        for jar in found:
            jar.rename(jars / jar.name)
    for part in ("core", "databind", "annotations"):
        (jar,) = jars.glob(f"jackson-{part}-2.*.jar")
        _rename_packages(jar, jars / f"shaded-{jar.name}")
    for pattern in JARS:
        shutil.rmtree(target / Path(pattern).parts[0], ignore_errors=True)


def _rename_packages(jar: Path, renamed: Path) -> None:
    """Copy a jar of Jackson with the names of its packages as Iceberg expects them."""
    with zipfile.ZipFile(jar) as source, zipfile.ZipFile(renamed, "w") as target:
        for name in source.namelist():
            if name.endswith(".class") and not name.startswith("META-INF"):
                target.writestr(_shaded(name), b"".join(_class_parts(source.read(name))))


def _class_parts(code: bytes) -> Iterator[bytes]:
    """The bytes of a class, with the packages renamed in the texts of its constant pool.

    https://docs.oracle.com/javase/specs/jvms/se17/html/jvms-4.html#jvms-4.4
    """
    sizes = {5: 8, 6: 8, 7: 2, 8: 2, 15: 3, 16: 2, 19: 2, 20: 2}  # the others have 4
    (count,) = struct.unpack_from(">H", code, 8)
    yield code[:10]
    at, index = 10, 1
    while index < count:
        tag = code[at]
        if tag == 1:
            (length,) = struct.unpack_from(">H", code, at + 1)
            # its characters beyond ASCII are not quite UTF-8, and none is in a name
            text = _shaded(code[at + 3 : at + 3 + length].decode("latin-1")).encode("latin-1")
            yield struct.pack(">BH", tag, len(text)) + text
            at += 3 + length
        else:
            size = 1 + sizes.get(tag, 4)
            yield code[at : at + size]
            at += size
        index += 2 if tag in (5, 6) else 1  # a number of 8 bytes counts twice
    yield code[at:]


def _shaded(text: str) -> str:
    slashes = text.replace(JACKSON.replace(".", "/"), (SHADED + JACKSON).replace(".", "/"))
    return slashes.replace(JACKSON, SHADED + JACKSON)
