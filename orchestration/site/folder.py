"""The folder of a site: a new site takes the place of the old one without a half-made state.

The pages are at the top. What they load is in a folder of its own for each build. Nothing refers to
that folder until it is complete. Then each page is replaced by an atomic rename. The folder of the
previous build stays for readers who have its pages open.
"""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from uuid import uuid4

from ingestion.errors import MedallionError, UsageError
from ingestion.locks import turn_with_file
from ingestion.progress import Quiet

MARK = ".medallion-site"  # a folder with this file is a site that may be replaced
BUILD = "build-"


class NewFolder:
    """The new site, which readers do not see yet."""

    def __init__(self, out: Path):
        self.out = out
        self.assets_name = f"{BUILD}{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{uuid4().hex[:6]}"
        self.assets = out / self.assets_name
        self._pages: dict[str, str] = {}
        self.files = 0
        self.bytes = 0

    def add_static(self, name: str) -> None:
        """Add one of the site's own files."""
        content = files(__package__).joinpath("static", name).read_bytes()
        self.assets.joinpath(name).write_bytes(content)

    def add_page(self, name: str, text: str) -> None:
        """Add a page; ``show`` makes it visible."""
        self._pages[name] = text

    def show(self) -> None:
        """Make the pages visible, the entry page last."""
        begun = []
        for name, text in sorted(self._pages.items(), key=lambda page: page[0] == "index.html"):
            path = self.assets / name
            path.write_text(text, "utf-8")
            begun.append(path)
        written = [path for path in self.assets.rglob("*") if path.is_file()]
        self.files, self.bytes = len(written), sum(path.stat().st_size for path in written)
        for path in begun:
            path.replace(self.out / path.name)

    def clear(self, before: str) -> None:
        """Delete the folders of all builds but this and the one ``before``, and old pages."""
        for path in self.out.glob(f"{BUILD}*"):
            if path.is_dir() and path.name not in (self.assets_name, before):
                shutil.rmtree(path, ignore_errors=True)
        for path in self.out.glob("*.html"):
            if path.name not in self._pages:
                path.unlink(missing_ok=True)


@contextmanager
def swapped(out: Path) -> Iterator[NewFolder]:
    """A new site in ``out``: shown if the block succeeds, deleted if it fails.

    Raises ``UsageError`` if the folder holds anything else than a site made by this module.
    """
    try:
        _claim(out)
        with turn_with_file(out / f"{MARK}.lock", "the site", Quiet()):
            before = _shown(out)
            new = NewFolder(out)
            new.assets.mkdir()
            try:
                yield new
                new.show()
            except BaseException:
                shutil.rmtree(new.assets, ignore_errors=True)
                raise
            new.clear(before)
    except OSError as exc:
        raise MedallionError(f"Cannot write to {out}: {exc.strerror}.") from exc


def _shown(out: Path) -> str:
    """The folder that the entry page loads from now; empty if there is none."""
    index = out / "index.html"
    found = re.search(rf"{BUILD}[\w-]+", index.read_text("utf-8")) if index.exists() else None
    return found[0] if found else ""


def _claim(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file; name a folder for the site.")
    if out.is_dir() and not (out / MARK).exists() and any(out.iterdir()):
        raise UsageError(
            f"{out} holds files that are not of a site; name an empty folder or a new one."
        )
    out.mkdir(parents=True, exist_ok=True)
    (out / MARK).touch()
