"""Addresses of published files and of lakes."""

import hashlib
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit


def local_path(url: str) -> Path | None:
    """The path of a ``file://`` address; none for any other address."""
    parts = urlsplit(url)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def file_name_of(name: str) -> str:
    """A file name that stands for the name of a published file; other names get other ones."""
    if re.fullmatch(r"[A-Za-z0-9_. -]{1,120}", name):
        return name.replace(" ", "-")
    readable = re.sub(r"[^A-Za-z0-9_.-]", "-", name)[:60]
    return f"{readable}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"
