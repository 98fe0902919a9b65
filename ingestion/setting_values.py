"""What the value of one setting must be: a path, an address or a name.

Each function raises ``ValueError``, or gives in words what is wrong. No message has the value of an
address with ``://``, which may have a password in it.
"""

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

from ingestion.addresses import local_path
from ingestion.sources import registry
from ingestion.sources.base import RESERVED, SCHEMES

# s3:/bucket, md:trips, file:///data as a path, :memory:
_BEGINS_AS_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)?:")
# Characters that no lake address in a bucket may have. DuckDB reads Google's and Azure's addresses
# as patterns, without a way to escape a character, and Azure's SDK takes a bracket for part of the
# host. Azure and some S3 servers cannot find an object again whose name has a backslash.
NOT_IN_BUCKETS = {"s3": "\\", "gs": "*?[]", "az": "*?[]\\"}
# $HOME, ${HOME}: a shell replaces both, a .env the second, Docker's --env-file none
_VARIABLE = re.compile(r"\$(\w+|{\w+})")
LONGEST_NAME = 200  # file systems take 255 bytes; other files are named after this one
# of an environment; it is part of names of files and of PostgreSQL's databases, which have 63 bytes
ENV_NAME = r"[a-z][a-z0-9_]{0,19}"


def begins_as_address(value: str) -> bool:
    """Whether a value is written as an address, also as a mistyped one; ``./`` makes it a path."""
    return bool(_BEGINS_AS_ADDRESS.match(value))


def whole_path(path: Path) -> Path:
    """The absolute path of a file or folder that a user named; raises where it can be none."""
    if found := _VARIABLE.match(str(path)):
        raise ValueError(f"{found[0]} is not replaced here: write its value")
    if any(len(os.fsencode(part)) > LONGEST_NAME for part in path.parts):
        raise ValueError(f"a name in the path is longer than {LONGEST_NAME} bytes: shorten it")
    try:
        return path.expanduser().absolute()
    except RuntimeError:  # ~somebody
        raise ValueError(f"there is no home folder {path.parts[0]}: write the whole path") from None


def env_name_error(name: str) -> str | None:
    """Why an environment cannot have this name; none if it can."""
    if re.fullmatch(ENV_NAME, name):
        return None
    return "take up to 20 lower-case letters, digits and _, and begin with a letter"


def name_error(path: Path) -> str | None:
    """Why a DuckDB file of this name cannot be the warehouse; none if it can."""
    # DuckDB names a database after its file, up to the first dot. It changes these names, or cannot
    # tell such a database from one of our schemas.
    name = path.name.partition(".")[0]
    if not path.name:
        return "name a file, not the root of all folders"
    if name.lower() not in RESERVED | set(registry.schemas()):
        return None
    return f"choose another name for the file: DuckDB takes {name} in {path.name} for a schema"


def store_address(url: str) -> str:
    """The address of a folder or bucket, without a slash at its end; raises where it is none."""
    if "://" not in url:
        if begins_as_address(url):  # a mistyped bucket would be a folder, and nobody see it
            raise ValueError(
                "give a folder, or an address with two slashes, as in s3://my-bucket/lake; if it"
                f" is a folder, write ./{url}"
            )
        url = whole_path(Path(url)).as_uri()
    # of the whole address, not its parts: in a bucket, what follows a ? is part of the name
    if wrong := set(NOT_IN_BUCKETS.get(url.partition("://")[0].lower(), "")) & set(url):
        raise ValueError(
            f"leave {' '.join(sorted(wrong))} out of the address: not every reader of this"
            " store would find the objects by it"
        )
    if urlsplit(url).scheme not in ("file", "s3", "gs", "az"):
        raise ValueError("give a folder, or an address that starts with s3://, gs:// or az://")
    if not url.startswith("file:") and not urlsplit(url).netloc:
        raise ValueError("name a bucket, as in s3://my-bucket/lake")
    if not url.startswith("file:") and ":" in urlsplit(url).netloc:
        # the address is shown and stored, and no bucket's name has a colon
        raise ValueError("leave keys out of the address, and give them as docs/lake.md says")
    url = _file_address(url).rstrip("/")
    if url == "file:":
        raise ValueError("name a folder, not the root of all folders")
    path = str(local_path(url) or "")
    if "\\" in path and set("*?[") & set(path):
        raise ValueError("DuckDB reads no folder whose path has a \\ and one of * ? [ as well")
    return url


def _file_address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme == "file" and parts.netloc:  # file://data/lake means /lake on a host "data"
        raise ValueError("give a file:// address with its whole path: file:///...")
    if parts.scheme == "file" and set("?#") & set(url):  # a path would lose what follows
        raise ValueError("write a ? as %3F and a # as %23 in a file:// address")
    return url


def publisher_address(url: str) -> str:
    """A publisher's address without a slash at its end; raises where it is not an address."""
    if url and urlsplit(url).scheme not in SCHEMES:
        known = ", ".join(f"{scheme}://" for scheme in SCHEMES)
        raise ValueError(f"give an address that starts with one of {known}")
    if "@" in url.partition("://")[2].partition("/")[0]:
        # addresses are shown, and stored in the lake and the warehouse
        raise ValueError("leave user and password out of the address, and put them in ~/.netrc")
    if url.lower().startswith(("https:", "http:")):
        try:
            has_server = bool(urlsplit(url).hostname) and urlsplit(url).port != 0
        except ValueError:
            has_server = False
        if not has_server:
            raise ValueError(
                "name a server, as in https://mirror.example/files, and a port by digits"
            )
    return _file_address(url).rstrip("/")
