"""The text of documents, and what becomes of those that are broken or made to do harm."""

import io
import resource
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pypdf import PdfWriter

from ingestion.documents.extract import Extracted, extract
from ingestion.documents.pages_file import write_pages
from ingestion.errors import FetchError


def pdf(*pages: str, more: bytes = b"") -> bytes:
    """A PDF with these pages of one line each."""
    kids = " ".join(f"{4 + 2 * n} 0 R" for n in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for n, text in enumerate(pages):
        content = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET" if text else ""
        objects.append(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792]"
            f" /Resources << /Font << /F1 3 0 R >> >> /Contents {5 + 2 * n} 0 R >>"
        )
        objects.append(f"<< /Length {len(content)} >>\nstream\n{content}\nendstream")
    return _written([text.encode() for text in objects], more)


def _written(objects: list[bytes], more: bytes = b"") -> bytes:
    out = io.BytesIO(b"%PDF-1.4\n")
    out.seek(0, io.SEEK_END)
    places = []
    for number, content in enumerate(objects, 1):
        places.append(out.tell())
        out.write(b"%d 0 obj\n%s\nendobj\n" % (number, content))
    begins = out.tell()
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    for place in places:
        out.write(b"%010d 00000 n \n" % place)
    out.write(b"trailer\n<< /Size %d /Root 1 0 R %s>>\n" % (len(objects) + 1, more))
    out.write(b"startxref\n%d\n%%%%EOF\n" % begins)
    return out.getvalue()


def packed(parts: int, code: bytes = b"/FlateDecode") -> bytes:
    """A page whose content unpacks to so many megabytes; ``code`` names how it is packed."""
    packer = zlib.compressobj(9)
    part = b"BT /F1 12 Tf (x) Tj ET\n" * 45_000
    content = b"".join(packer.compress(part) for _ in range(parts)) + packer.flush()
    return _written(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9]"
            b" /Resources << /Font << /F1 5 0 R >> >> /Contents 4 0 R >>",
            b"<< /Filter %s /Length %d >>\nstream\n%s\nendstream" % (code, len(content), content),
            b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        ]
    )


def encrypted(password: str, algorithm: str) -> bytes:
    """A page that is encrypted; with an empty password everybody may read it."""
    writer = PdfWriter(io.BytesIO(pdf("Fares rose.")))
    writer.encrypt(password, "the owner's", algorithm=algorithm)
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def endless() -> bytes:
    """A tree of pages in which a page is its own parent's parent."""
    return _written(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids [3 0 R 3 0 R] /Count 2 >>",
            b"<< /Type /Pages /Kids [2 0 R 2 0 R] /Count 2 /Parent 2 0 R >>",
        ]
    )


def read(folder: Path, content: bytes, name: str = "paper.pdf", seconds: float = 30) -> Extracted:
    path = folder / "document"
    path.write_bytes(content)
    return extract(path, name, seconds)


def test_the_pages_of_a_pdf(tmp_path: Path) -> None:
    found = read(tmp_path, pdf("Fares rose.", "Trips fell."), "named wrongly.txt")
    assert found == Extracted("application/pdf", ("Fares rose.", "Trips fell."))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (pdf(""), "it has no text layer"),
        (pdf(), "it has no page"),
        (pdf("Fares rose.")[:300], "it is damaged: "),
        (b"%PDF-1.7\nnonsense", "it is damaged: "),
        (encrypted("secret", "RC4-128"), "it is encrypted"),
        (encrypted("secret", "AES-256"), "it is encrypted"),
        (packed(1, b"/Strange"), "it is damaged: Unsupported filter /Strange"),
        (endless(), "it is damaged: Detected cyclic page references"),
        (packed(2_000), "it is beyond a limit of pypdf: Limit reached while decompressing"),
    ],
    ids=[
        "no text",
        "no page",
        "cut short",
        "nonsense",
        "encrypted",
        "encrypted by AES",
        "strange filter",
        "endless",
        "bomb",
    ],
)
def test_a_pdf_without_text_says_why(content: bytes, reason: str, tmp_path: Path) -> None:
    found = read(tmp_path, content)
    assert found.pages == ()
    assert (found.reason or "").startswith(reason), found.reason
    assert "\n" not in (found.reason or "")


@pytest.mark.parametrize("algorithm", ["RC4-128", "AES-256"])
def test_a_pdf_that_is_encrypted_without_a_password_is_read(algorithm: str, tmp_path: Path) -> None:
    found = read(tmp_path, encrypted("", algorithm))
    assert found == Extracted("application/pdf", ("Fares rose.",))


def test_a_document_that_takes_too_much_memory_says_so(tmp_path: Path) -> None:
    # 64 million characters of four bytes each
    found = read(tmp_path, "\N{GRINNING FACE}".encode() * (64 << 20), "notes.txt")
    assert found == Extracted("text/plain", (), "it takes too much memory to read")


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """A function that puts a shell script in the place of Python, which runs the reader."""

    def program(script: str) -> None:
        path = tmp_path / "program"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o700)
        monkeypatch.setattr(sys, "executable", str(path))

    return program


def test_a_reader_that_fails_outside_the_document_is_an_error_to_try_again(
    program: Callable[[str], None], tmp_path: Path
) -> None:
    program("exit 1")
    with pytest.raises(FetchError, match=r"paper\.pdf: the process .* ended with code 1"):
        read(tmp_path, pdf("Fares rose."))
    program("kill -SEGV $$")
    found = read(tmp_path, pdf("Fares rose."))
    assert found.reason == "its reader was ended: Segmentation fault"


def test_the_reader_sees_no_secret_and_fills_no_memory_by_its_warnings(
    program: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", "secret")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    program(
        "head -c 300000000 /dev/zero >&2; head -c 300000000 /dev/zero\n"
        """printf '{"media_type": "a/b", "pages": ["%s"], "reason": null}' "$PGPASSWORD" > "$6" """
    )
    assert read(tmp_path, pdf("Fares rose.")) == Extracted("a/b", ("",))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # of 1024 bytes


def test_a_reader_that_does_not_end_is_given_up(tmp_path: Path) -> None:
    found = read(tmp_path, pdf(*["Fares rose."] * 500), seconds=0.05)
    assert found == Extracted("application/pdf", (), "it took longer than 0.05 s to read", True)


def test_a_document_of_two_gigabytes_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.txt"
    with path.open("wb") as file:
        file.truncate(2 << 30)
    assert extract(path, "huge.txt").reason == "it is larger than 256 MB"


def test_a_zip_is_its_list_of_members_and_nothing_is_unpacked(tmp_path: Path) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zones.shp", bytes(64 << 20))
        archive.writestr("../out.txt", "x")
    found = read(tmp_path, made.getvalue(), "zones.zip")
    assert found == Extracted("application/zip", ("zones.shp\n../out.txt",))
    cut = read(tmp_path, made.getvalue()[:200], "zones.zip")
    assert (cut.reason or "").startswith("it is damaged: ")


def test_text_is_cut_at_the_ends_of_lines_and_can_be_stored(tmp_path: Path) -> None:
    lines = "".join(f"line {n}\n" for n in range(1000))
    found = read(tmp_path, b"\xef\xbb\xbf" + lines.encode() + b"\x00\xff", "notes.txt")
    assert len(found.pages) > 2
    assert all(page.endswith("\n") for page in found.pages[:-1])
    assert "".join(found.pages) == lines + "\N{REPLACEMENT CHARACTER}" * 2
    other = read(tmp_path, bytes(range(256)), "photo.jpg")
    assert other == Extracted("image/jpeg", (), "its type, image/jpeg, has no text to read")


def test_the_file_of_pages_is_the_same_for_the_same_text(tmp_path: Path) -> None:
    for name, extracted in {
        "text": Extracted("application/pdf", ("a", "b")),
        "none": Extracted("application/pdf", (), "it is encrypted"),
    }.items():
        for n in range(2):
            write_pages(extracted, "paper.pdf", "ab" * 32, tmp_path / f"{name}{n}")
        one, two = ((tmp_path / f"{name}{n}").read_bytes() for n in range(2))
        assert one == two
    rows = pq.read_table(tmp_path / "none0").to_pylist()
    assert [(r["page"], r["text"], r["reason"]) for r in rows] == [(0, None, "it is encrypted")]


def test_the_real_documents_have_text_but_the_one_without_a_text_layer(
    real_data: Path, tmp_path: Path
) -> None:
    found = {p.name: extract(p, p.name) for p in sorted((real_data / "docs").rglob("*.pdf"))}
    assert len(found) >= 10
    without = {name for name, document in found.items() if document.reason}
    bad = {p.name: extract(p, p.name) for p in (real_data / "bad").rglob("*no_text_layer.pdf")}
    assert without | bad.keys() == {n for n in found | bad if "no_text_layer" in n}
    yellow = found["data_dictionary_trip_records_yellow.pdf"]
    assert "VendorID" in "".join(yellow.pages)
