"""Says what a wrong file really is, in words, for the user who must get the right one."""

import bz2
import lzma
import re
import zlib
from pathlib import Path

HEAD_BYTES = 1 << 12
# the first bytes of each format; a longer one stands before a shorter one that it starts with
_MAGICS = (
    (b"PAR1", "a Parquet file"),
    (b"PARE", "an encrypted Parquet file"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"PK\x05\x06", "an empty ZIP archive"),
    (b"\x1f\x8b", "a gzip file"),
    (b"BZh", "a bzip2 file"),
    (b"\xfd7zXZ\x00", "an xz file"),
    (b"\x28\xb5\x2f\xfd", "a zstd file"),
    (b"\x04\x22\x4d\x18", "an lz4 file"),
    (b"\x1f\x9d", "a file of Unix compress (.Z)"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"%PDF", "a PDF document"),
    (b"\xd0\xcf\x11\xe0", "an Excel workbook of before 2007 (.xls)"),
    (b"SQLite format 3", "an SQLite database"),
    (b"ARROW1", "an Arrow file (Feather)"),
    (b"FEA1", "an Arrow file (Feather)"),
    (b"ORC", "an ORC file"),
    (b"Obj\x01", "an Avro file"),
    (b"\x89HDF", "an HDF5 file"),
    (b"{\\rtf", "an RTF document"),
    (b"\xff\xfe\x00\x00", "text in UTF-32"),
    (b"\x00\x00\xfe\xff", "text in UTF-32"),
    (b"\xff\xfe", "text in UTF-16"),
    (b"\xfe\xff", "text in UTF-16"),
)
_DELIMITERS = {
    ";": "semicolons",
    "\t": "tabs",
    "|": "bars (|)",
    "^": "carets (^)",
    "~": "tildes (~)",
    "\x01": "the character 0x01",
}
_SHORTEST_UTF_16 = 8


def what_it_is(path: Path) -> str | None:
    """``it is …`` for a file of a known format; none if it looks like a text table."""
    return _said(path, _head(path))


def what_it_holds(path: Path) -> str | None:
    """The same for the content of a gzip file, or that it is not a gzip file."""
    head = _head(path)
    if not head.startswith(b"\x1f\x8b"):
        found = _said(path, head)
        return found or ("it is plain text, not gzip" if _is_text(head) else None)
    inside = _unpacked(head)
    found = _said(None, inside)
    if found and inside.startswith(b"\x1f\x8b"):
        return "it is packed with gzip twice"
    return found.replace("it is ", "inside the gzip file is ", 1) if found else None


def _said(path: Path | None, head: bytes) -> str | None:
    for magic, kind in _MAGICS:
        if head.startswith(magic):
            if magic == b"PK\x03\x04":
                kind = _zip_kind(path, head)
            if magic in (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00") and _is_tar(_unpacked(head)):
                kind = f"a tar archive in {kind}"
            return f"it is {kind}"
    if _is_tar(head):
        return "it is a tar archive"
    if _is_utf_16(head):
        return "it is text in UTF-16, without a byte order mark"
    return _text_kind(head) or _other_delimiter(head)


def _text_kind(head: bytes) -> str | None:
    text = head.decode("latin-1").removeprefix("\xef\xbb\xbf").lstrip().lower()
    if text.startswith("<?xml") or "<error>" in text[:200]:
        return "it is an XML error page"
    if text.startswith(("<!doctype html", "<html")):
        return "it is an HTML error page"
    if text.startswith("version https://git-lfs"):
        return "it is a Git LFS pointer, not the file itself"
    if text.startswith(("{", "[")):
        return "it is JSON"
    if text.startswith("sep="):
        return "its first line (sep=) is one that only Excel reads"
    return None


def _other_delimiter(head: bytes) -> str | None:
    """The delimiter of the header, if it is not a comma."""
    header, *rows = head.decode("latin-1").splitlines() or [""]
    mark = max(_DELIMITERS, key=header.count)
    if header.count(mark) > header.count(","):
        return f"its fields are separated by {_DELIMITERS[mark]}, not by commas"
    fields = len(header.split())  # a name may have blanks, so they count where nothing else does
    if fields > 1 and "," not in header and rows and len(rows[0].split()) >= fields:
        return "its fields seem to be separated by blanks, not by commas"
    return None


def _zip_kind(path: Path | None, head: bytes) -> str:
    names = head
    if path:  # an archive's file names stand at its end too
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - (1 << 16)))
            names += file.read()
    if b"xl/" in names:
        return "an Excel workbook (.xlsx)"
    if b"mimetypeapplication/vnd.oasis" in names:
        return "an OpenDocument file (.ods)"
    return "a ZIP archive"


def _is_tar(head: bytes) -> bool:
    return head[257:262] == b"ustar"


def _is_utf_16(head: bytes) -> bool:
    """Whether exactly every other byte is a NUL, as in UTF-16 text of Latin letters."""
    pairs = head[: len(head) // 2 * 2]
    sides = (pairs[::2], pairs[1::2])
    return len(head) >= _SHORTEST_UTF_16 and any(
        not any(high) and all(low) for high, low in (sides, sides[::-1])
    )


def _is_text(head: bytes) -> bool:
    return bool(head) and not re.search(rb"[\x00-\x08\x0e-\x1f]", head)


def _unpacked(head: bytes) -> bytes:
    """The unpacked beginning of a packed file, from its first bytes."""
    try:
        if head.startswith(b"\x1f\x8b"):
            return zlib.decompressobj(31).decompress(head, HEAD_BYTES)
        if head.startswith(b"BZh"):
            return bz2.BZ2Decompressor().decompress(head, HEAD_BYTES)
        return lzma.LZMADecompressor().decompress(head, HEAD_BYTES)
    except (zlib.error, OSError, EOFError, lzma.LZMAError):
        return b""


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)
