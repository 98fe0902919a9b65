"""A publisher that misbehaves: what is landed is one version of a file, or a fault that is told."""

import gzip
import hashlib
import os
import re
import ssl
import time
from collections.abc import Callable
from datetime import date
from itertools import repeat
from pathlib import Path

import numpy as np
import pytest

from ingestion.errors import FetchError, MedallionError
from ingestion.land import LandReport, Outcome, land
from ingestion.settings import Settings
from ingestion.sources.base import PublishedFile
from ingestion.sources.files.download import CHUNK_BYTES, Fetched, fetch
from ingestion.sources.files.http import no_way_to
from tests.conftest import MakeSettings
from tests.faults.conftest import Tally
from tests.support.debian_postgres import authority
from tests.support.publishing import published_files
from tests.support.trips import ZONES, publish, trips
from tests.support.web import Answer, Break, Drip, Fault, Web, serving

pytestmark = pytest.mark.slow

JANUARY = date(2024, 1, 1)
MONTH = "trip-data/green_tripdata_2024-01.parquet"
SIZE = 3 * CHUNK_BYTES + 12_345


@pytest.fixture
def settings(web: Web, make_settings: MakeSettings) -> Settings:
    return make_settings(tlc_url=web.url, report_url=f"{web.url}/report.csv")


@pytest.fixture
def month(tmp_path: Path) -> bytes:
    """A month of green as it is published."""
    return publish(tmp_path / "made", "green", JANUARY, trips("green", JANUARY)).read_bytes()


def asked(settings: Settings) -> PublishedFile:
    return next(f for f in published_files(settings, ["green"], JANUARY, JANUARY) if f.month)


def landed(settings: Settings) -> LandReport:
    return land(settings, ["green"], JANUARY, JANUARY)


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def whole(fetched: Fetched, *versions: tuple[bytes, str | None]) -> bool:
    """Whether it is one version through and through, and said to be that one."""
    found = fetched.path.read_bytes()
    return (found, fetched.etag) in versions and fetched.sha256 == sha256(found)


def told(report: LandReport) -> str:
    """What was said of the month, which did not land."""
    (file,) = (f for f in report.files if f.published.month)
    assert (file.outcome, file.landing) == (Outcome.FAILED, None)
    assert file.error
    assert "\n" not in file.error
    return file.error


# --- downloads that are continued ----------------------------------------------------------------

Part = Callable[[bytes, str, int], Answer]


def _without_etag(body: bytes, _etag: str, have: int) -> Answer:
    return _part(body, have, {})


def _weak(body: bytes, etag: str, have: int) -> Answer:
    return _part(body, have, {"ETag": f"W/{etag}"})


def _shifted(body: bytes, etag: str, have: int) -> Answer:
    return _part(body, have, {"ETag": etag}, starts=have + 1)


def _from_the_first(body: bytes, etag: str, _have: int) -> Answer:
    return _part(body, 0, {"ETag": etag})


def _cut(body: bytes, etag: str, have: int) -> Answer:
    return _part(body, have, {"ETag": etag}, ends=have + 99)


def _another_total(body: bytes, etag: str, have: int) -> Answer:
    return _part(body, have, {"ETag": etag}, total=len(body) + 1)


def _unknown_total(body: bytes, etag: str, have: int) -> Answer:
    return _part(body, have, {"ETag": etag}, total="*")


def _another_date(body: bytes, etag: str, have: int) -> Answer:
    return _part(body, have, {"ETag": etag, "Last-Modified": "Sat, 02 Mar 2024 12:30:00 GMT"})


def _of_no_range(body: bytes, etag: str, have: int) -> Answer:
    return Answer(206, {"ETag": etag}, body[have:])


def _several_parts(body: bytes, etag: str, have: int) -> Answer:
    kind = {"Content-Type": "multipart/byteranges; boundary=x", "ETag": etag}
    return Answer(206, kind, b"--x\r\n\r\n" + body[have:] + b"\r\n--x--")


def _part(
    body: bytes,
    have: int,
    headers: dict[str, str],
    starts: int | None = None,
    ends: int | None = None,
    total: object = None,
) -> Answer:
    starts, ends = have if starts is None else starts, len(body) if ends is None else ends
    said = f"bytes {starts}-{ends - 1}/{total or len(body)}"
    return Answer(206, headers | {"Content-Range": said}, body[starts:ends])


@pytest.mark.parametrize(
    "part",
    [
        _without_etag,
        _weak,
        _shifted,
        _from_the_first,
        _cut,
        _another_total,
        _unknown_total,
        _another_date,
        _of_no_range,
        _several_parts,
    ],
    ids=lambda part: part.__name__.strip("_"),
)
def test_a_part_counts_only_where_it_is_the_one_that_was_asked_for(
    part: Part, web: Web, settings: Settings, tally: Tally
) -> None:
    body = os.urandom(SIZE)
    web.publish(MONTH, body, etag='"one"')
    have = CHUNK_BYTES + 10
    web.fail("GET", MONTH, [Break(have, clean=True), part(body, '"one"', have)])
    began = time.monotonic()
    fetched = fetch(asked(settings), settings.spool_dir)
    tally(
        "http: a part that was not asked for",
        wrong=not whole(fetched, (body, '"one"')),
        seconds=time.monotonic() - began,
    )
    # the part that cannot be trusted is not asked for again
    assert ["Range" in r.headers for r in web.asked("GET", MONTH)] == [False, True, False]


@pytest.mark.parametrize("size", [SIZE, SIZE - 5000, SIZE + 5000], ids=["same", "less", "more"])
def test_no_two_versions_are_put_together(
    size: int, web: Web, settings: Settings, at_length: bool, tally: Tally
) -> None:
    """Where a server ignores If-Range and sends the part of what it holds by then."""
    web.if_range = False
    rng = np.random.default_rng(size)
    times = 40 if at_length else 4
    wrong, worst = 0, 0.0
    for n in range(times):
        one, other = (rng.bytes(SIZE), f'"one {n}"'), (rng.bytes(size), f'"other {n}"')
        web.publish(MONTH, *one)
        file = asked(settings)
        breaks = [Break(int(rng.integers(1, SIZE // 2)), clean=bool(n % 2)) for _ in range(2)]
        web.fail("GET", MONTH, breaks)
        began = time.monotonic()
        fetched = fetch(file, settings.spool_dir, lambda _, to=other: web.publish(MONTH, *to))
        worst = max(worst, time.monotonic() - began)
        wrong += not whole(fetched, one, other)
    tally("http: changed in the middle of a download", times=times, wrong=wrong, seconds=worst)


def test_a_version_that_changes_at_every_try_is_never_put_together(
    web: Web, settings: Settings, tally: Tally
) -> None:
    web.if_range = False
    web.publish(MONTH, os.urandom(SIZE), etag='"0"')
    file = asked(settings)
    versions = [(os.urandom(SIZE), f'"{n}"') for n in range(1, 4)]
    web.fail("GET", MONTH, repeat(Break(CHUNK_BYTES + 10)))
    change = iter(versions)
    began = time.monotonic()
    with pytest.raises(FetchError, match="cannot download"):
        fetch(file, settings.spool_dir, lambda _: web.publish(MONTH, *next(change, versions[-1])))
    web.faults.clear()
    web.publish(MONTH, *versions[-1])
    fetched = fetch(asked(settings), settings.spool_dir)
    tally(
        "http: changed in the middle of a download",
        wrong=not whole(fetched, versions[-1]),
        seconds=time.monotonic() - began,
    )


def test_what_changed_between_head_and_get_is_landed_as_what_came(
    web: Web, settings: Settings, month: bytes, tally: Tally, tmp_path: Path
) -> None:
    later = publish(tmp_path / "made", "green", JANUARY, trips("green", JANUARY, seed=1))
    web.publish(MONTH, later.read_bytes(), etag='"later"')
    headers = {"ETag": '"before"', "Content-Length": str(len(month))}
    web.fail("HEAD", MONTH, [Answer(200, headers)])
    began = time.monotonic()
    (first,) = (f for f in landed(settings).files if f.published.month)
    seconds = time.monotonic() - began
    (second,) = (f for f in landed(settings).files if f.published.month)
    is_right = first.landing and first.landing.file_id == sha256(later.read_bytes())
    assert (first.outcome, second.outcome) == (Outcome.NEW, Outcome.UNCHANGED)
    tally("http: changed between HEAD and GET", wrong=not is_right, seconds=seconds)


# --- lengths, cuts, slowness ---------------------------------------------------------------------


@pytest.mark.parametrize("lie", [-100, 100], ids=["less", "more"])
@pytest.mark.parametrize("lies", ["HEAD", "GET"])
def test_a_length_that_lies_never_makes_a_file(
    lies: str, lie: int, web: Web, settings: Settings, month: bytes, tally: Tally
) -> None:
    web.publish(MONTH, month, etag='"one"')
    headers = {
        "ETag": '"one"',
        "Last-Modified": "Fri, 01 Mar 2024 12:30:00 GMT",
        "Content-Length": str(len(month) + lie),
    }
    web.fail(lies, MONTH, repeat(Answer(200, headers, month)))
    began = time.monotonic()
    report = landed(settings)
    assert "bytes" in told(report)
    web.faults.clear()
    (file,) = (f for f in landed(settings).files if f.published.month)
    tally(
        "http: a length that lies",
        wrong=not file.landing or file.landing.file_id != sha256(month),
        silent=not report.of(Outcome.FAILED),
        seconds=time.monotonic() - began,
    )


@pytest.mark.parametrize(
    ("length", "known"),
    [("{0}, {0}", True), ("-1", False), ("many", False), ("", False)],
)
def test_a_length_that_is_none_stops_nobody(
    length: str, known: bool, web: Web, settings: Settings, month: bytes
) -> None:
    web.publish(MONTH, month, etag='"one"')
    headers = {"ETag": '"one"', "Content-Length": length.format(len(month))}
    web.fail("HEAD", MONTH, repeat(Answer(200, headers)))
    assert asked(settings).bytes == (len(month) if known else None)


def test_two_lengths_at_once_are_a_fault(web: Web, settings: Settings, month: bytes) -> None:
    web.publish(MONTH, month)
    two = Answer(200, {"Content-Length": f"{len(month)}, 7"}, month)
    file = asked(settings)
    web.fail("GET", MONTH, repeat(two))
    with pytest.raises(FetchError, match="Content-Length contained multiple"):
        fetch(file, settings.spool_dir)
    web.fail("HEAD", MONTH, repeat(two))
    with pytest.raises(FetchError, match="Content-Length contained multiple"):
        asked(settings)


def test_csv_whose_end_nobody_can_tell_is_refused(
    web: Web, settings: Settings, tally: Tally
) -> None:
    web.publish("misc/taxi_zone_lookup.csv", ZONES)
    cut = Answer(200, {"Content-Length": ""}, ZONES[:100])
    web.fail("GET", "misc/taxi_zone_lookup.csv", [cut])
    (file,) = land(settings, ["taxi_zone_lookup"]).files
    assert file.outcome is Outcome.FAILED
    assert "without its length" in str(file.error)
    (file,) = land(settings, ["taxi_zone_lookup"]).files
    tally("http: a length that lies", lost=not file.landing or file.landing.row_count != 4)


@pytest.mark.parametrize(
    "fault",
    [Drip(20), Break(50), Break(50, clean=True), Break(0), Answer(503), Answer(429)],
    ids=["slow", "reset", "closed", "at once", "busy", "throttled"],
)
def test_a_download_that_stumbles_is_whole(
    fault: Fault, web: Web, settings: Settings, month: bytes, tally: Tally
) -> None:
    web.publish(MONTH, month)
    web.fail("GET", MONTH, [fault])
    web.fail("HEAD", MONTH, [fault] if isinstance(fault, Answer) else [])
    began = time.monotonic()
    (file,) = (f for f in landed(settings).files if f.published.month)
    tally(
        "http: slow, cut, busy",
        wrong=not file.landing or file.landing.file_id != sha256(month),
        seconds=time.monotonic() - began,
    )


@pytest.mark.parametrize(
    "said",
    [
        {"Last-Modified": "Fri, 01 Mar 99999999999999 12:00:00 GMT"},
        {"Last-Modified": "Fri, 01 Mar 2024 12:00:00 +99999999"},
        {"Last-Modified": "Fri, 01 Mar 2024 12:00:00 -0000"},
        {"Last-Modified": "Fri, 01 Mar 2024 12:00:00 +0000, Fri, 01 Mar 2024 12:00:00 +0000"},
        {"ETag": '"\x01\x02"'},
        {"ETag": '"\xe4[/b]\xff"'},
        {"ETag": "not quoted"},
        {"ETag": ""},
    ],
    ids=str,
)
def test_nonsense_in_a_header_is_none(
    said: dict[str, str], web: Web, settings: Settings, month: bytes, tally: Tally
) -> None:
    web.publish(MONTH, month, etag=said.get("ETag"), last_modified=said.get("Last-Modified"))
    web.fail("GET", MONTH, [Break(50, clean=True)])
    (file,) = (f for f in landed(settings).files if f.published.month)
    assert file.landing
    assert file.landing.last_modified is None or file.landing.last_modified.tzinfo
    tally("http: nonsense in a header", wrong=file.landing.file_id != sha256(month))


@pytest.mark.parametrize("packed", [False, True], ids=["csv", "csv.gz"])
def test_what_is_packed_on_its_way_is_the_file_that_is_published(
    packed: bool, web: Web, settings: Settings, tmp_path: Path, tally: Tally
) -> None:
    """Servers pack though they are asked not to, and say of a .gz that it is packed."""
    path = "trip-data/green_tripdata_2019-01.csv" + ".gz" * packed
    content = os.urandom(5000)
    body = gzip.compress(content)
    headers = {"Content-Encoding": "x-gzip" if packed else "gzip"}
    web.publish(path, body)
    for method in ("HEAD", "GET"):
        web.fail(method, path, repeat(Answer(200, headers, body)))
    month = date(2019, 1, 1)
    (file, *_) = published_files(settings, ["green"], month, month)
    fetched = fetch(file, settings.spool_dir)
    expected = body if packed else content
    tally("http: packed on its way", wrong=fetched.path.read_bytes() != expected)


# --- what is not the file ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "page", [b"<!DOCTYPE html><title>Log in</title>", b"\xef\xbb\xbf\n <html>no</html>"]
)
def test_a_page_in_place_of_a_file_is_said_to_be_one(
    page: bytes, web: Web, settings: Settings, month: bytes, tally: Tally
) -> None:
    web.publish(MONTH, month)
    as_page = Answer(200, {"Content-Type": "text/html"}, page)
    web.fail("HEAD", MONTH, [as_page])
    web.fail("GET", MONTH, [as_page])
    began = time.monotonic()
    report = landed(settings)
    assert "is an HTML error page, not the file" in told(report)
    (file,) = (f for f in landed(settings).files if f.published.month)
    tally(
        "http: an error page with 200",
        wrong=file.outcome is not Outcome.NEW,
        silent=not report.of(Outcome.FAILED),
        seconds=time.monotonic() - began,
    )


def test_a_redirect_on_the_same_server_is_followed(
    web: Web, settings: Settings, month: bytes
) -> None:
    web.publish("elsewhere.parquet", month)
    for method in ("HEAD", "GET"):
        web.fail(method, MONTH, repeat(Answer(302, {"Location": "/elsewhere.parquet"})))
    (file,) = (f for f in landed(settings).files if f.published.month)
    assert file.outcome is Outcome.NEW
    assert file.published.url == f"{web.url}/{MONTH}"


@pytest.mark.parametrize(
    "location",
    [
        "{other}/x.parquet",
        "http://localhost:{port}/x.parquet",
        "http://user:hunter2@169.254.169.254/latest/meta-data?sig=hunter2",
        "ftp://127.0.0.1/x",
        "file:///etc/passwd",
        "//evil.example/x",
        "http://[/b]/x",
        "http://127.0.0.1:99999/x",
    ],
)
@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_a_redirect_to_elsewhere_is_refused(
    method: str, location: str, web: Web, settings: Settings, month: bytes, tally: Tally
) -> None:
    with serving() as other:
        other.publish("x.parquet", month)
        web.publish(MONTH, month)
        to = location.format(other=other.url, port=web.url.rpartition(":")[2])
        web.fail(method, MONTH, repeat(Answer(302, {"Location": to})))
        report: LandReport | None = None
        try:
            report = landed(settings)
            fault = told(report)
        except FetchError as exc:
            fault = str(exc)
        assert other.requests == []
    assert "hunter2" not in fault
    assert f"{web.url} sends on to " in fault or "is no address" in fault
    tally("http: sent on to another server", wrong=bool(report and report.of(Outcome.NEW)))


@pytest.mark.parametrize("trusted", [False, True], ids=["unknown", "trusted"])
def test_a_server_that_cannot_prove_who_it_is_is_refused(
    trusted: bool,
    make_settings: MakeSettings,
    month: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tally: Tally,
) -> None:
    ca = authority("somebody")
    certificate, key = ca.sign("localhost")
    (tmp_path / "server.pem").write_bytes(certificate + key)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "server.pem")
    if trusted:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(ca.write(tmp_path / "ca.pem")))
    with serving(tls) as web:
        url = web.url.replace("127.0.0.1", "localhost")
        settings = make_settings(tlc_url=url, report_url=f"{url}/report.csv")
        web.publish(MONTH, month)
        if trusted:
            assert len(landed(settings).of(Outcome.NEW)) == 1
            return
        began = time.monotonic()
        with pytest.raises(FetchError) as refused:
            landed(settings)
        words = re.search("certificate verify failed.*REQUESTS_CA_BUNDLE", str(refused.value))
        assert web.requests == []
        fault = "http: an untrusted certificate"
        tally(fault, silent=int(not words), seconds=time.monotonic() - began)


def test_https_asked_of_a_server_that_speaks_http(web: Web, make_settings: MakeSettings) -> None:
    url = web.url.replace("http://", "https://")
    with pytest.raises(FetchError, match="Does it speak https"):
        landed(make_settings(tlc_url=url, report_url=f"{url}/report.csv"))


@pytest.mark.parametrize("code", [403, 404, 405, 501])
def test_a_server_that_refuses_head_is_asked_for_one_byte(
    code: int, web: Web, settings: Settings, month: bytes, tally: Tally
) -> None:
    web.publish(MONTH, month)
    for path in (MONTH, "misc/taxi_zone_lookup.csv", "report.csv"):
        web.fail("HEAD", path, repeat(Answer(code)))
    (file,) = (f for f in landed(settings).files if f.published.month)
    assert file.landing
    assert file.published.bytes == len(month)
    assert len(web.asked("HEAD", MONTH)) < 4  # 501 is not tried again and again
    (again,) = (f for f in landed(settings).files if f.published.month)
    tally(
        "http: HEAD refused",
        wrong=again.outcome is not Outcome.UNCHANGED or file.landing.file_id != sha256(month),
    )


def test_a_server_that_refuses_head_and_ranges_is_not_read_to_the_end(
    web: Web, settings: Settings
) -> None:
    web.ranges = False
    web.publish(MONTH, os.urandom(SIZE))
    web.fail("HEAD", MONTH, repeat(Answer(405)))
    assert asked(settings).bytes == SIZE


def test_without_a_network_it_is_said_at_once_and_what_needs_none(
    make_settings: MakeSettings, tally: Tally
) -> None:
    url = "http://medallion-no-such-host.invalid"
    settings = make_settings(tlc_url=url, report_url=f"{url}/report.csv")
    assert no_way_to("http://127.0.0.1:9/x") is None  # a route, whoever listens
    began = time.monotonic()
    with pytest.raises(MedallionError) as fault:
        land(settings)
    seconds = time.monotonic() - began
    for words in ("Cannot reach http://medallion-no-such-host", "file:///", "run --sample"):
        assert words in str(fault.value)
    tally("http: no network", silent=seconds > 10, seconds=seconds)
