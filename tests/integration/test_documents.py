"""Documents as versions in the lake: from a folder and from a web server, whatever they hold."""

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import ingestion
from ingestion.documents import extract
from ingestion.errors import MedallionError, UsageError
from ingestion.lake.catalog import Catalog
from ingestion.lake.forget import forget, objects_of, to_forget
from ingestion.lake.verify import restore, verify
from ingestion.lake.withdraw import take_back, withdraw
from ingestion.land import Outcome, land
from ingestion.load import load
from ingestion.progress import Lines, Quiet
from ingestion.settings import Settings, load_settings
from ingestion.sources import registry
from ingestion.sources.documents import kind
from ingestion.try_source import try_source
from ingestion.warehouse import connect
from orchestration.cli.console import printable
from orchestration.cli.documents import list_documents
from orchestration.cli.documents import search as search_documents
from orchestration.cli.documents import show as show_document
from orchestration.cli.show_document_history import print_history
from orchestration.job.document_versions import history_of
from orchestration.job.documents import documents, search, text_of, version_of
from orchestration.job.missing import find_missing
from orchestration.job.pipeline import passed_over_lines
from orchestration.job.sources import source_statuses
from tests.support.declared import declare_source, settings_from
from tests.support.web import Web

SOURCE = """
kind = "documents"
url = "URL"

[datasets.papers]
"""


@pytest.fixture
def library(tmp_path: Path) -> Path:
    folder = tmp_path / "library"
    folder.mkdir()
    return folder


@pytest.fixture
def declare(
    tmp_path: Path, library: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Settings]:
    """The settings of a run that takes a source of documents, declared so."""

    def declare(dataset: str, url: str | None = None) -> Settings:
        toml = SOURCE.replace("URL", url or library.as_uri()) + dataset
        variables = declare_source(tmp_path, "library", toml, ENABLED_SOURCES="library")
        return settings_from(variables, monkeypatch)

    return declare


Declare = Callable[..., Settings]


def outcomes(settings: Settings) -> dict[str | None, Outcome]:
    return {f.published.item: f.outcome for f in land(settings).files}


def pages(settings: Settings) -> list[tuple[Any, ...]]:
    assert load(settings).failed == {}
    with connect(settings, read_only=True) as session:
        return session.query(
            "select document, page, text, reason from library.papers_pages order by 1, 2"
        ).rows


def test_each_document_has_versions_of_its_own_and_its_text_follows(
    declare: Declare, library: Path
) -> None:
    settings = declare('pattern = "**/*"')
    (library / "rules").mkdir()
    (library / "rules" / "a b.txt").write_text("No smoking.")
    (library / "Ünïted\nnames.txt").write_text("Names.")
    (library / "map.bin").write_bytes(bytes(range(256)))
    assert outcomes(settings) == dict.fromkeys(
        ["map.bin", "rules/a b.txt", "Ünïted\nnames.txt"], Outcome.NEW
    )
    assert set(outcomes(settings).values()) == {Outcome.UNCHANGED}
    texts = {(document, text) for document, _, text, _ in pages(settings)}
    assert texts == {
        ("map.bin", None),
        ("rules/a b.txt", "No smoking."),
        ("Ünïted\nnames.txt", "Names."),
    }
    (library / "rules" / "a b.txt").write_text("Smoking.")
    assert outcomes(settings)["rules/a b.txt"] is Outcome.REPUBLISHED
    assert ("rules/a b.txt", 1, "Smoking.", None) in pages(settings)
    catalog = Catalog(settings.lake_url)
    held = [v for v in catalog.versions() if v.dataset == "papers"]
    assert [v.item for v in held].count("rules/a b.txt") == 2
    assert {v.lake_path.rpartition(".")[2] for v in held} == {"txt", "bin"}
    assert all(v.error is None for v in verify(settings))
    assert len(pages(settings)) == 3


def test_the_text_of_a_document_is_withdrawn_and_forgotten_with_it(
    declare: Declare, library: Path
) -> None:
    settings = declare('pattern = "**/*"')
    rules = library / "rules.txt"
    for text in ("No smoking.", "Smoking."):
        rules.write_text(text)
        land(settings)
    key = ("papers", None, "rules.txt")
    withdraw(settings, key, None, "It is a joke.")
    assert outcomes(settings) == {"rules.txt": Outcome.PASSED_OVER}
    assert [text for _, _, text, _ in pages(settings)] == ["No smoking."]
    take_back(settings, key, None, "")
    with pytest.raises(UsageError, match=r"^No version of papers rules\.txt is withdrawn\.$"):
        take_back(settings, key, None, "")
    assert outcomes(settings) == {"rules.txt": Outcome.UNCHANGED}
    assert [text for _, _, text, _ in pages(settings)] == ["Smoking."]
    withdraw(settings, key, None, "It is a joke.")
    withdraw(settings, key, None, "All of it is.")
    assert pages(settings) == []
    versions = to_forget(settings, key, None)
    assert sorted(v.dataset for v in versions) == ["papers"] * 2 + ["papers_pages"] * 2
    forget(settings, versions, "A person has asked for it.", Quiet())
    assert objects_of(settings, versions) == {}
    rules.write_text("Let us smoke.")
    assert outcomes(settings) == {"rules.txt": Outcome.REPUBLISHED}
    assert [text for _, _, text, _ in pages(settings)] == ["Let us smoke."]


def test_a_document_that_took_too_long_to_read_is_tried_again(
    declare: Declare, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = declare('pattern = "**/*"')
    (library / "rules.txt").write_text("No smoking.")
    with monkeypatch.context() as busy:
        busy.setattr(extract, "SECONDS", 0.001)
        assert outcomes(settings) == {"rules.txt": Outcome.NEW}
        assert outcomes(settings) == {"rules.txt": Outcome.UNCHANGED}
    assert pages(settings) == [("rules.txt", 0, None, "it took longer than 0.001 s to read")]
    assert outcomes(settings) == {"rules.txt": Outcome.UNCHANGED}
    assert pages(settings) == [("rules.txt", 1, "No smoking.", None)]
    # what has its text is not read again
    monkeypatch.setattr(extract, "SECONDS", 0.001)
    assert outcomes(settings) == {"rules.txt": Outcome.UNCHANGED}
    assert pages(settings) == [("rules.txt", 1, "No smoking.", None)]


def test_what_cannot_be_taken_is_told_and_the_rest_goes_on(
    declare: Declare, library: Path, tmp_path: Path
) -> None:
    (library / "good.txt").write_text("good")
    (library / "empty.txt").write_text("")
    (library / "out.txt").symlink_to(tmp_path / "secret.txt")
    (tmp_path / "secret.txt").write_text("secret")
    os.mkfifo(library / "pipe.txt")
    settings = declare('files = ["good.txt", "empty.txt", "gone.txt"]')
    report = {f.published.item: f for f in land(settings).files}
    assert report["good.txt"].outcome is Outcome.NEW
    assert report["empty.txt"].outcome is Outcome.QUARANTINED
    assert report["gone.txt"].outcome is Outcome.FAILED
    assert "it is not published: there is no file://" in (report["gone.txt"].error or "")
    settings = declare('pattern = "*.txt"')
    assert set(outcomes(settings)) == {"good.txt", "empty.txt"}


def test_a_web_server_is_asked_for_each_named_document(declare: Declare, web: Web) -> None:
    web.publish("papers/guide.html", b"<html><body>Guide</body></html>")
    web.publish("elsewhere/map.zip", b"PK\x05\x06" + bytes(18))
    settings = declare(
        'files = ["guide.html", "gone.pdf"]\n[datasets.papers.addresses]\n'
        f'"map.zip" = "{web.url}/elsewhere/map.zip"',
        f"{web.url}/papers",
    )
    assert outcomes(settings) == {
        "guide.html": Outcome.NEW,
        "gone.pdf": Outcome.FAILED,
        "map.zip": Outcome.NEW,
    }
    assert outcomes(settings)["guide.html"] is Outcome.UNCHANGED


def test_a_folder_without_a_document_is_no_silence(declare: Declare, library: Path) -> None:
    settings = declare('pattern = "*.pdf"')
    with pytest.raises(MedallionError, match=r"papers: no file at file://.* is of the pattern"):
        land(settings)
    library.rmdir()
    with pytest.raises(UsageError, match="MEDALLION_LIBRARY_URL: there is no folder"):
        land(settings)


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ("", "it has files and addresses, or pattern: one of the two"),
        ('files = ["a.pdf"]\npattern = "*"', "one of the two"),
        ('files = ["../a.pdf"]', "files: .* it is below the source's address"),
        ('files = ["a.pdf", "a.pdf"]', "files: one of them is named twice"),
        ('pattern = "*.pdf"', "a web server cannot be listed"),
    ],
)
def test_a_wrong_declaration_is_one_line(declare: Declare, declared: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        declare(declared, "https://library.example")


def test_documents_have_no_rows_to_read(declare: Declare, library: Path) -> None:
    (library / "good.txt").write_text("good")
    settings = declare('pattern = "*"')
    land(settings)
    with pytest.raises(UsageError, match="papers has documents, not rows: medallion documents"):
        ingestion.dataset("papers", settings=settings)
    found = ingestion.dataset("papers_pages", settings=settings).read_all()
    assert json.loads(json.dumps(found.column("text").to_pylist())) == ["good"]


def test_documents_are_listed_shown_and_found(
    declare: Declare, library: Path, tmp_path: Path
) -> None:
    settings = declare('pattern = "*"')
    (library / "guide.txt").write_text("Congestion pricing began in January.\nTrips fell.")
    (library / "rules.txt").write_text("No surcharge is paid by those who walk.")
    (library / "photo.jpg").write_bytes(b"\xff\xd8")
    land(settings)
    listed = {d.name: d for d in documents(settings)}
    assert (listed["guide.txt"].pages, listed["guide.txt"].bytes) == (1, 48)
    assert listed["photo.jpg"].reason == "its type, image/jpeg, has no text to read"
    assert text_of(settings, "guide.txt") == ["Congestion pricing began in January.\nTrips fell."]
    with pytest.raises(UsageError, match=r"photo\.jpg has no text: its type, image/jpeg"):
        text_of(settings, "photo.jpg")
    with pytest.raises(UsageError, match=r"no document gone\.txt; there are guide"):
        text_of(settings, "gone.txt")
    (best, *_) = search(settings, "surcharges for walking")
    assert (best.document, best.page) == ("rules.txt", 1)
    assert "surcharge" in best.excerpt
    assert search(settings, "zeppelin") == []
    (tried,) = try_source(settings, registry.sources()["library"])
    assert (tried.items, tried.rows, tried.error) == (3, None, None)
    (status,) = (s for s in source_statuses(settings) if s.name == "library")
    assert (status.published, status.landed, status.stale) == (3, 3, 0)
    # what is found follows the documents
    (library / "rules.txt").write_text("A zeppelin pays nothing.")
    land(settings)
    assert [found.document for found in search(settings, "zeppelins")] == ["rules.txt"]
    assert search(settings, "surcharge") == []
    assert [v.bytes for v in history_of(settings, "rules.txt")] == [39, 24]
    # a damaged document is fetched again
    (held,) = (v for v in history_of(settings, "rules.txt") if v.bytes == 24)
    place = tmp_path / "lake" / held.lake_path
    place.chmod(0o600)
    place.write_bytes(b"other bytes")
    faulty = [v for v in verify(settings) if v.error]
    assert [v.landing.item for v in faulty] == ["rules.txt"]
    assert [v.is_restored for v in restore(settings, faulty)] == [True]
    assert [v for v in verify(settings) if v.error] == []


def test_documents_of_one_name_in_two_datasets_are_told_apart(
    declare: Declare, library: Path
) -> None:
    (library / "guide.txt").write_text("The guide.")
    settings = declare('pattern = "*"\n[datasets.news]\npattern = "g*"\n')
    land(settings)
    with pytest.raises(
        UsageError, match=r"guide\.txt is in the datasets news, papers: choose one with --dataset"
    ):
        text_of(settings, "guide.txt")
    assert text_of(settings, "guide.txt", "news") == ["The guide."]
    assert version_of(settings, "guide.txt", "papers").dataset == "papers"
    with pytest.raises(UsageError, match=r"datasets news, papers: choose one with --dataset"):
        history_of(settings, "guide.txt")
    assert [v.dataset for v in history_of(settings, "guide.txt", "news")] == ["news"]


def test_a_document_is_shown_as_it_was_on_a_day(
    declare: Declare, library: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = declare('pattern = "*"')
    (library / "rules.txt").write_text("No dogs.")
    land(settings)
    for record in (tmp_path / "lake" / "catalog").rglob("*.json"):
        landed = json.loads(record.read_text()) | {"landed_at": "2024-05-01T23:00:00+00:00"}
        record.write_text(json.dumps(landed))
    (library / "rules.txt").write_text("Dogs.")
    (library / "later.txt").write_text("Cats.")
    land(settings)
    day = date(2024, 5, 1)
    assert text_of(settings, "rules.txt") == ["Dogs."]
    assert text_of(settings, "rules.txt", as_of=day) == ["No dogs."]
    for name, before in (("later.txt", day), ("rules.txt", day - timedelta(days=1))):
        with pytest.raises(UsageError, match=rf"no document {name} by {before}; "):
            text_of(settings, name, as_of=before)
    show_document("rules.txt", as_of=day)
    assert capsys.readouterr().out == "--- page 1 of 1 ---\nNo dogs.\n"


def test_the_history_of_a_document_says_what_changed_in_its_text(
    declare: Declare, library: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = declare('pattern = "*"')
    rules = library / "rules.txt"
    at = datetime(2024, 3, 1, 12, 30, tzinfo=UTC)
    for text in ("No smoking.\nNo dogs.", "No  smoking.\nNo dogs.\n", "No smoking.\nDogs.\nCats."):
        rules.write_text(text)
        os.utime(rules, (at.timestamp(), at.timestamp()))
        land(settings)
        at += timedelta(days=1)
    rules.write_bytes(b"%PDF-1.4 damaged")
    land(settings)
    first, spaced, third, damaged = history_of(settings, "rules.txt")
    assert first.published_at == datetime(2024, 3, 1, 12, 30, tzinfo=UTC)
    assert (first.pages, first.changes, first.is_current) == (1, None, False)
    assert spaced.changes
    assert (spaced.changes.lines_new, spaced.changes.lines_gone, spaced.changes.pages) == (0, 0, ())
    assert third.changes
    assert third.changes.since == spaced.version
    assert (third.changes.lines_new, third.changes.lines_gone) == (2, 1)
    assert third.changes.pages == (1,)
    assert {"-No dogs.", "+Dogs.", "+Cats."} <= set(third.changes.diff)
    assert (damaged.is_current, damaged.pages, damaged.changes) == (True, 0, None)
    assert damaged.reason
    print_history([first, spaced, third, damaged], diff=True)
    said = capsys.readouterr().out
    assert "2024-03-01 12:30" in said
    assert f"{third.version[:8]} changed, of {spaced.version[:8]}: 2 lines of its text new" in said
    assert "+Dogs." in said
    assert f"{damaged.version[:8]} has no text: {damaged.reason}" in said
    with pytest.raises(UsageError, match=r"There is no document gone\.txt"):
        history_of(settings, "gone.txt")


def test_a_folder_of_very_many_files_asks_for_a_narrower_pattern(
    declare: Declare, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(4):
        (library / f"{n}.txt").write_text(str(n))
    settings = declare('pattern = "*.txt"')
    monkeypatch.setattr(kind, "MOST_FILES", 3)
    words = r"papers: file:.* has more than 3 files for the pattern \*\.txt: name a narrower one"
    with pytest.raises(MedallionError, match=words):
        land(settings)
    assert Catalog(settings.lake_url).landings == []
    monkeypatch.setattr(kind, "MOST_FILES", 4)
    assert set(outcomes(settings).values()) == {Outcome.NEW}


def test_a_withdrawn_document_is_told_by_its_own_versions(declare: Declare, library: Path) -> None:
    settings = declare('pattern = "*"')
    for text in ("one", "two"):
        (library / "a.txt").write_text("one")
        (library / "b.txt").write_text(text)
        land(settings)
    for name in ("a.txt", "b.txt"):
        withdraw(settings, ("papers", None, name), None, "It is a joke.")
    said = passed_over_lines(find_missing(Catalog(settings.lake_url), [], [], None, None))
    assert [line.partition(" in use:")[0] for line in said] == [
        "papers a.txt: no version is",
        "papers b.txt: an older version is",
        "papers_pages a.txt: no version is",
        "papers_pages b.txt: an older version is",
    ]


def test_a_document_that_vanished_is_told_and_stays(declare: Declare, library: Path) -> None:
    settings = declare('pattern = "*"')
    for name in "abcdef":
        (library / f"{name}.txt").write_text(name)
    land(settings)
    said: list[str] = []
    land(settings, progress=Lines(said.append))
    assert not [line for line in said if "not published any more" in line]
    for name in "abcde":
        (library / f"{name}.txt").unlink()
    land(settings, progress=Lines(said.append))
    (line,) = (line for line in said if "not published any more" in line)
    assert line == (
        "papers: 5 documents are not published any more, and still in use: 'a.txt', 'b.txt',"
        " 'c.txt' and 2 more. To take one out of use: medallion withdraw papers --item NAME"
    )
    assert len(documents(settings)) == 6
    for name in "abcd":
        withdraw(settings, ("papers", None, f"{name}.txt"), None, "It is out of date.")
    said.clear()
    land(settings, progress=Lines(said.append))
    assert [line for line in said if "1 document is not published any more" in line]


@pytest.mark.slow
def test_several_first_searches_at_once_find_the_same(declare: Declare, library: Path) -> None:
    settings = declare('pattern = "*"')
    for n in range(50):
        (library / f"{n}.txt").write_text(f"Congestion and page {n}.")
    land(settings)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: search(settings, "congestion", 100), range(4)))
    assert [len(pages) for pages in found] == [50] * 4


def test_what_a_document_says_to_a_terminal_is_not_done(
    declare: Declare, library: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (library / "a\nb\x1b[31m.txt").write_text("Red \x1b[31m alert.")
    declare('pattern = "*"')
    land(load_settings())
    list_documents()
    search_documents(["alert"])
    said = capsys.readouterr().out
    assert said.count("a\\nb\\x1b[31m.txt") == 2
    assert "Red \ufffd[31m alert." in said
    assert "\x1b" not in said
    assert printable("a\x1b[31mb\r\nc\td\x9b") == "a\ufffd[31mb\nc\td\ufffd"
