"""A source that is an API, asked over a real local server: every way to page, and every fault."""

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Any

import pytest

import ingestion
from ingestion.errors import FetchError, UsageError
from ingestion.lake.catalog import Catalog
from ingestion.land import Outcome, land
from ingestion.load import load
from ingestion.progress import Lines
from ingestion.settings import Settings
from ingestion.sources import registry
from ingestion.sources.base import Fetched, PublishedFile, Publisher
from ingestion.sources.declared import read_source
from ingestion.sources.rest_api import session
from ingestion.sources.rest_api.kind import discover, fetch
from ingestion.try_source import try_source
from ingestion.warehouse import connect
from orchestration.job.pipeline import land_errors
from tests.support.api import Api, Asked, Reply, serving_api

JANUARY = date(2024, 1, 1)
ROWS = [{"id": n, "zone": f"Zone {n}"} for n in range(25)]

Declare = Callable[..., Publisher]


@pytest.fixture(scope="module")
def server() -> Iterator[Api]:
    with serving_api() as api:
        yield api


@pytest.fixture
def api(server: Api) -> Api:
    server.asked.clear()
    server.routes.clear()
    return server


@pytest.fixture
def declare(api: Api, tmp_path: Path) -> Declare:
    """Declare the source ``airfield`` with a dataset ``observations``; gives its publisher."""

    def declare(endpoint: str = "", more: str = "", source: str = "") -> Publisher:
        folder = tmp_path / "sources" / "airfield"
        folder.mkdir(parents=True, exist_ok=True)
        path = "" if endpoint.startswith("path") else 'path = "observations"'
        (folder / "source.toml").write_text(
            f'kind = "rest_api"\ntitle = "The airfield"\nurl = "{api.url}/v1"\n{source}\n'
            f"[datasets.observations]\n{more}\n"
            f"[datasets.observations.endpoint]\n{path}\n{endpoint}\n"
        )
        found = read_source(folder / "source.toml")
        return Publisher(found, found.url)

    return declare


@pytest.fixture
def get(tmp_path: Path) -> Callable[..., Fetched | None]:
    """Fetch the only item of a publisher, or that of one month."""

    def get(publisher: Publisher, month: date | None = None) -> Fetched | None:
        (file,) = discover(publisher, ["observations"], month, month)
        try:
            return fetch(publisher, file, tmp_path / "spool")
        finally:
            left = {p.name for p in (tmp_path / "spool").iterdir()}
            assert all(name.endswith(".part") for name in left), left

    return get


Get = Callable[..., Fetched]


def lines(fetched: Fetched | None) -> list[str]:
    assert fetched is not None
    return gzip.decompress(fetched.path.read_bytes()).decode().splitlines()


def read(fetched: Fetched | None) -> list[dict[str, Any]]:
    return sorted(map(json.loads, lines(fetched)), key=lambda row: row["id"])


def by_offset(asked: Asked) -> object:
    begin = asked.number("offset")
    return {"count": len(ROWS), "results": ROWS[begin : begin + asked.number("limit")]}


def by_page(asked: Asked) -> object:
    page = asked.number("page")
    return {"pages": 3, "results": ROWS[(page - 1) * 10 : page * 10]}


def by_cursor(asked: Asked) -> object:
    begin = asked.number("after")
    more = {"next": begin + 10} if begin + 10 < len(ROWS) else {}
    return {"results": ROWS[begin : begin + 10], **more}


def by_header(asked: Asked) -> Reply:
    begin = asked.number("from")
    link = {"Link": f'</v1/observations?from={begin + 10}>; rel="next"'}
    return Reply(ROWS[begin : begin + 10], headers=link if begin + 10 < len(ROWS) else {})


def by_link(asked: Asked) -> object:
    begin = asked.number("from")
    more = f"/v1/observations?from={begin + 10}" if begin + 10 < len(ROWS) else None
    return {"results": ROWS[begin : begin + 10], "links": {"next": more}}


OFFSET = 'data_selector = "results"\n' + (
    'paginator = { type = "offset", limit = 10, total_path = "count" }'
)
WAYS = {
    "offset": (by_offset, OFFSET, 3),
    "offset until a page is empty": (
        by_offset,
        'data_selector = "results[*]"\n'
        'paginator = { type = "offset", limit = 10, total_path = "" }',
        4,
    ),
    "page number": (
        by_page,
        'data_selector = "results"\n'
        'paginator = { type = "page_number", base_page = 1, total_path = "pages" }',
        3,
    ),
    "cursor": (
        by_cursor,
        'data_selector = "results"\n'
        'paginator = { type = "cursor", cursor_path = "next", cursor_param = "after" }',
        3,
    ),
    "link header": (by_header, 'data_selector = "$"\npaginator = "header_link"', 3),
    "link in the answer": (
        by_link,
        'data_selector = "results"\n'
        'paginator = { type = "json_link", next_url_path = "links.next" }',
        3,
    ),
    "a way that dlt finds": (by_link, "", 3),
    "a client's way": (by_link, "", 3),
}


@pytest.mark.parametrize("way", WAYS)
def test_it_is_read_page_by_page(way: str, api: Api, declare: Declare, get: Get) -> None:
    route, endpoint, requests = WAYS[way]
    api.routes["/v1/observations"] = route
    source = '[client]\npaginator = "json_link"' if way == "a client's way" else ""
    if source:
        endpoint = 'paginator = { type = "json_link", next_url_path = "links.next" }'
    assert read(get(declare(endpoint, source=source))) == ROWS
    assert len(api.asked) == requests


def test_a_row_is_kept_as_it_was_received(api: Api, declare: Declare, get: Get) -> None:
    api.answers(
        "/v1/observations",
        '[{"Zone Name": "Zürich ☂", "a": 1.10, "b": 12345678901234567890123, "c": 1e400,'
        ' "d": -0, "e": 1E5, "f": null, "g": {"z": [1.0, "x"], "Y": true}, "h": "\\ud800"},'
        ' {"b": 2, "a": 1, "B": 3}]'.encode(),
    )
    assert lines(get(declare('data_selector = "$"'))) == [
        '{"B":3,"a":1,"b":2}',
        '{"Zone Name":"Z\\u00fcrich \\u2602","a":1.10,"b":12345678901234567890123,"c":1e400,"d":-0,'
        '"e":1E5,"f":null,"g":{"Y":true,"z":[1.0,"x"]},"h":"\\ud800"}',
    ]
    api.answers("/v1/observations", Reply([{"zone": "Zürich ☂"}]))
    assert lines(get(declare('data_selector = "$"'))) == ['{"zone":"Zürich ☂"}']


def test_the_same_rows_are_the_same_bytes(api: Api, declare: Declare, get: Get) -> None:
    publisher = declare('data_selector = "$"')
    api.answers(
        "/v1/observations",
        [{"id": 1, "n": 2}, {"id": 2, "n": 3}, {"id": 1, "n": 2}],
        [{"n": 3, "id": 2}, {"n": 2, "id": 1}, {"id": 1, "n": 2}],
        [{"n": 3, "id": 2}, {"n": 2, "id": 1}],
    )
    first, again, revised = (get(publisher) for _ in range(3))
    assert first.sha256 == again.sha256 != revised.sha256
    assert lines(revised) == ['{"id":1,"n":2}', '{"id":2,"n":3}']


def test_rows_are_sorted_in_bounded_memory(tmp_path: Path) -> None:
    from ingestion.sources.rest_api.exact_json import write_sorted

    wide = "x" * 20_000
    rows = (f"{n * 7919 % 20_000:05}{wide}\n".encode() for n in range(20_000))  # 400 MB
    assert write_sorted(rows, tmp_path / "sorted") == 20_000
    with gzip.open(tmp_path / "sorted", "rt") as file:
        assert [int(line[:5]) for line in file] == list(range(20_000))
    assert [p.name for p in tmp_path.iterdir()] == ["sorted"]


MONTHLY = (
    'params = { from = "{month_start}", to = "{month_end}", until = "{next_month_start}",'
    ' of = "{month}" }\ndata_selector = "$"'
)


def test_a_month_is_asked_for_by_its_days(api: Api, declare: Declare, get: Get) -> None:
    api.answers("/v1/observations", ROWS)
    publisher = declare(MONTHLY, 'first_month = "2024-01"')
    get(publisher, date(2024, 2, 1))
    assert api.asked[0].params == {
        "from": "2024-02-01",
        "to": "2024-02-29",
        "until": "2024-03-01",
        "of": "2024-02",
    }


def test_the_last_months_are_asked_for_again(declare: Declare) -> None:
    today = datetime.now(UTC).date()

    def months(publisher: Publisher, *span: date | None) -> list[str]:
        return [f"{f.month:%Y-%m}" for f in discover(publisher, ["observations"], *span)]

    publisher = declare(MONTHLY, 'first_month = "2024-01"\nlookback_months = 2')
    last = today.replace(day=1) - timedelta(days=1)
    assert months(publisher) == [f"{last:%Y-%m}", f"{today:%Y-%m}"]
    assert months(publisher, None, date(2024, 6, 1)) == ["2024-05", "2024-06"]
    assert months(publisher, date(2023, 1, 1), date(2024, 2, 1)) == ["2024-01", "2024-02"]
    assert months(publisher, date(2024, 1, 1))[-1] == f"{today:%Y-%m}"
    assert months(publisher, today, date(2999, 1, 1)) == [f"{today:%Y-%m}"]
    first = declare(MONTHLY, f'first_month = "{today:%Y-%m}"')
    assert months(first) == [f"{today:%Y-%m}"]
    (missing,) = discover(publisher, ["observations"], date(2023, 1, 1), date(2023, 2, 1))
    assert missing.is_missing
    assert "its first is 2024-01" in str(missing.error)
    said: list[str] = []
    before = (), date(2023, 1, 1), date(2023, 2, 1)
    assert discover(publisher, *before, progress=Lines(said.append)) == []
    assert said == ["observations: it has none of these months: its first is 2024-01"]


def test_whole_datasets_are_asked_for_where_nothing_else_is_named(declare: Declare) -> None:
    publisher = declare(
        MONTHLY,
        'first_month = "2024-01"',
        '[datasets.stations.endpoint]\npath = "stations"\ndata_selector = "$"',
    )
    both = discover(publisher, (), JANUARY, JANUARY)
    assert [f.name for f in both] == ["stations", "observations 2024-01"]
    assert [f.name for f in discover(publisher, ["stations"])] == ["stations"]
    named = discover(publisher, ["observations"], JANUARY, JANUARY)
    assert [f.name for f in named] == ["observations 2024-01"]


def test_nothing_is_asked_to_list_what_there_is(api: Api, declare: Declare) -> None:
    publisher = declare(MONTHLY, 'first_month = "2024-01"')
    (file,) = discover(publisher, (), JANUARY, JANUARY)
    assert file == PublishedFile(
        "observations",
        JANUARY,
        f"{api.url}/v1/observations?from=2024-01-01&to=2024-01-31&until=2024-02-01&of=2024-01",
        *(None, None, None),
        file_format="jsonl.gz",
    )
    assert api.asked == []


def test_a_body_may_ask_and_other_braces_are_dlts(api: Api, declare: Declare, get: Get) -> None:
    api.routes["/v1/zones/7/observations"] = lambda asked: [json.loads(asked.body)]
    publisher = declare(
        'path = "zones/{zone}/observations"\nparams = { zone = 7 }\nmethod = "POST"\n'
        'json = { of = "{month}" }\ndata_selector = "$"',
        'first_month = "2024-01"',
    )
    assert lines(get(publisher, JANUARY)) == ['{"of":"2024-01"}']


# --- secrets


SECRETS = {
    "bearer": ('auth = { token = { env = "WEATHER_KEY" } }', "authorization", "Bearer {}"),
    "api key": (
        'auth = { type = "api_key", name = "X-Key", api_key = { env = "WEATHER_KEY" } }',
        "x-key",
        "{}",
    ),
    "header": ('headers = { Token = { env = "WEATHER_KEY" } }', "token", "{}"),
}


@pytest.mark.parametrize("way", SECRETS)
def test_a_secret_comes_from_the_environment(
    way: str, api: Api, declare: Declare, get: Get, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, header, value = SECRETS[way]
    publisher = declare('data_selector = "$"', source=f"[client]\n{client}")
    with pytest.raises(UsageError, match="observations: WEATHER_KEY is not set"):
        get(publisher)
    monkeypatch.setenv("WEATHER_KEY", "s3cret/+")
    api.answers("/v1/observations", ROWS)
    assert read(get(publisher)) == ROWS
    assert api.asked[0].headers[header] == value.format("s3cret/+")
    api.answers("/v1/observations", Reply(b"who is s3cret/+?", 401))
    with pytest.raises(FetchError, match="does not take the secret in WEATHER_KEY") as fault:
        get(publisher)
    assert "s3cret" not in str(fault.value)
    assert fault.value.__suppress_context__


def test_a_secret_in_the_address_is_never_told(
    api: Api, declare: Declare, get: Get, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEATHER_KEY", "s3cret/+")
    publisher = declare('params = { key = { env = "WEATHER_KEY" }, a = 1 }\ndata_selector = "$"')
    (file,) = discover(publisher)
    assert file.url == f"{api.url}/v1/observations?a=1"
    api.answers("/v1/observations", ROWS)
    get(publisher)
    assert api.asked[0].params == {"key": "s3cret/+", "a": "1"}
    for reply in (Reply(b"no s3cret%2F%2B and no s3cret/+", 400), Reply(b"", 500), Reply(b"{")):
        api.answers("/v1/observations", reply)
        with pytest.raises(FetchError) as fault:
            get(publisher)
        assert "s3cret" not in str(fault.value)


def test_oauth_is_asked_for_a_token(
    api: Api, declare: Declare, get: Get, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEATHER_SECRET", "s3cret")
    api.answers("/token", {"access_token": "of today", "expires_in": 60})
    api.answers("/v1/observations", ROWS)
    auth = (
        'type = "oauth2_client_credentials", client_id = "me",'
        f' access_token_url = "{api.url}/token", client_secret = {{ env = "WEATHER_SECRET" }}'
    )
    publisher = declare('data_selector = "$"', source=f"[client]\nauth = {{ {auth} }}")
    assert read(get(publisher)) == ROWS
    assert api.asked[-1].headers["authorization"] == "Bearer of today"
    api.answers("/token", Reply(b"no", 401))
    with pytest.raises(FetchError, match="WEATHER_SECRET"):
        get(publisher)


@pytest.mark.parametrize("by", ["redirect", "next page"])
def test_no_other_server_gets_a_secret(
    by: str, api: Api, declare: Declare, get: Get, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEATHER_KEY", "s3cret")
    source = f"[client]\n{SECRETS['header'][0]}"
    with serving_api() as other:
        other.answers("/v1/observations", ROWS)
        there = f"{other.url}/v1/observations"
        if by == "redirect":
            api.answers("/v1/observations", Reply(b"", 302, {"Location": there}))
        else:
            api.answers("/v1/observations", {"results": ROWS, "next": there})
        endpoint = 'data_selector = "results"\npaginator = "json_link"'
        with pytest.raises(FetchError, match=f"sends on to {other.url}, which was not asked"):
            get(declare(endpoint, source=source))
        assert other.asked == []


@pytest.mark.parametrize(
    ("endpoint", "source", "words"),
    [
        ("", '[client]\nauth = { token = "abc" }', "client: auth.token is a secret"),
        ("", '[client]\nheaders = { X-Api-Key = "abc" }', "client: headers.X-Api-Key is a secret"),
        ('params = { api_key = "abc" }', "", "observations.endpoint: params.api_key is a secret"),
        ('auth = { password = 123, username = "me" }', "", "endpoint: auth.password is a secret"),
        ("", "[client]\nauth = { token = { env = 1 } }", r"client: auth.token: write { env ="),
        ("", '[client]\nbase_url = "abc"', "client: base_url is not given here"),
        ('path = "a?token=abc"', "", r"endpoint: path is below the url, .* and a \?"),
        ('path = "https://abc.example/a"', "", "endpoint: path is below the url"),
        ('params = "a=abc"', "", "endpoint: params is a table"),
        ('params = { of = "{month}" }', "", "endpoint has {month}: give first_month"),
        ('incremental = { cursor_path = "at" }', "", "endpoint: incremental is not supported"),
        ('params = { since = { type = "incremental" } }', "", "incremental is not supported"),
        ("", "colour = 1", "colour: Extra inputs are not permitted"),
    ],
)
def test_what_is_declared_wrongly_is_told_by_file_and_key(
    endpoint: str, source: str, words: str, declare: Declare
) -> None:
    with pytest.raises(UsageError, match=words) as fault:
        declare(endpoint, source=source)
    assert "airfield/source.toml" in str(fault.value)
    assert "abc" not in str(fault.value)


def test_months_are_asked_for_or_not(declare: Declare) -> None:
    with pytest.raises(UsageError, match=r"the same rows in every month: use one of {month}"):
        declare("", 'first_month = "2024-01"')


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        ("pagination = 1", "endpoint: .*pagination"),
        ("path = 'observations'\nmethod = 'FETCH'", "endpoint: .*method.*FETCH"),
        ('paginator = { type = "offset", limt = 1 }', "endpoint.paginator: .*limt"),
        ('paginator = "pages"', "endpoint.paginator: .*pages"),
        ('data_selector = "a[b"', "endpoint.data_selector: "),
        ('auth = "bearer"', "endpoint.auth: the type bearer needs token"),
        ('auth = { type = "http_basic", username = "me" }', "type http_basic needs password"),
        ('auth = "key"', "endpoint.auth: .*key"),
        ('params = { id = { type = "resolve", resource = "a", field = "b" } }', "resolve"),
        ('params = { id = "{resources.a.b}" }', "non existing parent resource"),
    ],
)
def test_what_dlt_refuses_is_told_by_file_and_key(
    endpoint: str, words: str, declare: Declare, get: Get, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "of another program")
    monkeypatch.setenv("PASSWORD", "of another program")
    with pytest.raises(
        UsageError, match=rf"^airfield/source.toml: datasets.observations.*{words}"
    ) as told:
        get(declare(endpoint))
    assert "\n" not in str(told.value)


# --- faults of the API


def refused(status: int, body: bytes = b"", **headers: str) -> Reply:
    return Reply(body, status, {name.replace("_", "-"): value for name, value in headers.items()})


SECOND_PAGE_FAULTS = {
    "cut": (Reply({"count": 25, "results": ROWS[10:20]}, cut_to=50), "Cannot reach .*50 bytes"),
    "half": (Reply(b'{"count": 25, "results": [{"id"'), "are not whole JSON"),
    "html": (Reply(b"<!DOCTYPE html><html>log in", headers={"Content-Type": "text/html"}), "HTML"),
    "empty": (Reply(b""), "answers 200 with nothing"),
    "other schema": (
        Reply({"count": 25, "rows": ROWS}),
        "page 2 has nothing at results, .* it has count, rows",
    ),
    "no total": (Reply({"results": ROWS[10:20]}), "its pages cannot be read: Total `items` not"),
    "another total": (Reply({"count": 26, "results": ROWS[10:20]}), "went from 25 to 26"),
    "the same page": (Reply({"count": 25, "results": ROWS[:10]}), "page 2 repeats the rows"),
    "fewer rows": (Reply({"count": 25, "results": ROWS[10:13]}), "18 rows came of 25"),
    "no objects": (Reply({"count": 25, "results": [1, 2]}), "a row is no object but a int"),
    "a key twice": (Reply(b'{"count": 25, "results": [{"a": 1, "a": 2}]}'), "the key 'a' twice"),
    "400": (refused(400, b'{"error":\n"limit"}'), r'answers 400: {"error": "limit"}'),
    "401": (refused(401), "answers 401: it asks who you are. Give client.auth"),
    "403": (refused(403), "answers 403: it asks who you are. Give client.auth"),
    "404": (refused(404), "answers 404: there is nothing. Check url and endpoint.path"),
    "429": (refused(429), "answers 429 to every try: too many requests"),
    "500": (refused(500), "answers 500 to every try: the server is in trouble"),
    "503": (refused(503), "answers 503 to every try"),
}


@pytest.mark.parametrize("fault", SECOND_PAGE_FAULTS)
def test_a_fault_is_one_line(
    fault: str, api: Api, declare: Declare, get: Get, tmp_path: Path
) -> None:
    reply, words = SECOND_PAGE_FAULTS[fault]
    api.routes["/v1/observations"] = lambda a: reply if a.number("offset") == 10 else by_offset(a)
    publisher = declare(f'{OFFSET}\nparams = {{ of = "{{month}}" }}', 'first_month = "2024-01"')
    with pytest.raises(FetchError, match=f"^observations 2024-01: .*{words}") as told:
        get(publisher, JANUARY)
    assert "\n" not in str(told.value)
    assert list((tmp_path / "spool").iterdir()) == []


def test_a_fault_that_passes_is_tried_again(api: Api, declare: Declare, get: Get) -> None:
    api.answers(
        "/v1/observations",
        Reply(ROWS, cut_to=50),
        Reply(b"", 503),
        Reply(ROWS),
    )
    assert read(get(declare('data_selector = "$"'))) == ROWS


def test_it_waits_as_the_server_says_and_not_for_ever(
    api: Api, declare: Declare, get: Get, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher = declare('data_selector = "$"')
    api.answers("/v1/observations", refused(429, Retry_After="1"), Reply(ROWS))
    began = monotonic()
    assert read(get(publisher)) == ROWS
    assert monotonic() - began >= 1
    # a server may ask for more than dlt waits at once, and more often than we have patience
    monkeypatch.setenv("RUNTIME__REQUEST_MAX_RETRY_DELAY", "0.1")
    monkeypatch.setattr(session, "WAIT_SECONDS", 0.1)
    api.answers("/v1/observations", refused(429, Retry_After="86400"))
    with pytest.raises(FetchError, match=r"the server has let us wait for .* minutes in all"):
        get(publisher)


def test_a_server_that_is_away_is_told(api: Api, declare: Declare, get: Get) -> None:
    source = declare('data_selector = "$"').source
    with serving_api() as gone:
        pass
    words = f"observations: Cannot reach {gone.url}/observations: .*refused"
    with pytest.raises(FetchError, match=words):
        get(Publisher(source, gone.url))


def test_a_server_that_is_silent_is_told(
    api: Api, declare: Declare, get: Get, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNTIME__REQUEST_TIMEOUT", "0.05")
    monkeypatch.setenv("RUNTIME__REQUEST_MAX_ATTEMPTS", "1")
    released = Event()
    api.routes["/v1/observations"] = lambda _: released.wait(20) and ROWS
    with pytest.raises(FetchError, match=r"observations: Cannot reach .*timed out"):
        get(declare('data_selector = "$"'))
    released.set()


def test_a_server_that_drips_is_given_up(
    api: Api, declare: Declare, get: Get, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNTIME__REQUEST_TIMEOUT", "0.1")
    monkeypatch.setenv("RUNTIME__REQUEST_MAX_ATTEMPTS", "2")
    publisher = replace(declare('data_selector = "$"'), least_rate=1_000_000)
    dripping = Reply(ROWS, pause=0.02)  # each byte is in time
    api.answers("/v1/observations", dripping)
    with pytest.raises(FetchError, match=r"observations: .*too slow: .*LEAST_DOWNLOAD_RATE"):
        get(publisher)
    assert len(api.asked) == 2
    api.answers("/v1/observations", dripping, Reply(ROWS))
    assert read(get(publisher)) == ROWS


def test_endless_paging_ends(api: Api, declare: Declare, get: Get) -> None:
    api.routes["/v1/observations"] = lambda asked: {
        "results": [{"id": asked.number("after")}],
        "next": asked.number("after") + 1,
    }
    paging = 'paginator = { type = "cursor", cursor_path = "next", cursor_param = "after" }'
    publisher = declare(f'data_selector = "results"\n{paging}', "max_pages = 5")
    with pytest.raises(FetchError, match="observations: it has more than 5 pages"):
        get(publisher)
    assert len(api.asked) == 5


def test_a_page_without_end_ends(
    api: Api, declare: Declare, get: Get, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "PAGE_BYTES", 100_000)
    bomb = gzip.compress(b"[" + b" " * 10_000_000 + b"]")
    api.answers("/v1/observations", Reply(bomb, headers={"Content-Encoding": "gzip"}))
    with pytest.raises(FetchError, match=r"observations: .* a page of more than .* MB"):
        get(declare('data_selector = "$"'))


def test_a_selector_may_go_into_the_items(api: Api, declare: Declare, get: Get) -> None:
    features = [{"type": "Feature", "properties": row} for row in ROWS]
    paging = 'paginator = { type = "offset", limit = 25, total_path = "" }'
    publisher = declare(f'data_selector = "features[*].properties"\n{paging}')
    api.answers("/v1/observations", {"features": features}, {"features": []})
    assert read(get(publisher)) == ROWS
    api.answers("/v1/observations", {"features": features}, {"fault": "quota"})
    with pytest.raises(FetchError, match=r"page 2 has nothing at features\[\*\].properties"):
        get(publisher)


def test_a_parameter_that_the_api_does_not_know_is_told(
    api: Api, declare: Declare, get: Get
) -> None:
    api.answers("/v1/observations", {"results": ROWS})
    paging = 'paginator = { type = "page_number", page_param = "seite", total_path = "" }'
    with pytest.raises(FetchError, match=r"page 2 repeats .*Check endpoint.paginator"):
        get(declare(f'data_selector = "results"\n{paging}'))


def test_an_answer_without_rows_is_no_row(api: Api, declare: Declare, get: Get) -> None:
    api.answers("/v1/observations", {"error": "quota is used up"})
    with pytest.raises(FetchError, match=r"rows are not found in the answer, which has error"):
        get(declare())


@pytest.mark.parametrize("answer", [{"results": []}, {"results": None}])
def test_no_rows_is_an_error_unless_a_month_is_to_come(
    answer: object, api: Api, declare: Declare, get: Get
) -> None:
    api.answers("/v1/observations", answer)
    with pytest.raises(FetchError, match=r"^observations: .* has no rows"):
        get(declare('data_selector = "results"'))
    monthly = 'data_selector = "results"\nparams = { of = "{month}" }'
    publisher = declare(monthly, 'first_month = "2024-01"')
    assert get(publisher, datetime.now(UTC).date().replace(day=1)) is None
    with pytest.raises(FetchError, match=r"2024-01: .* has no rows, 120 days after its end"):
        get(publisher, JANUARY)


def test_one_object_is_one_row_where_that_is_declared(api: Api, declare: Declare, get: Get) -> None:
    api.answers("/v1/observations", {"id": 1, "readings": [1, 2]})
    assert lines(get(declare('data_selector = "$"'))) == ['{"id":1,"readings":[1,2]}']


# --- landed, loaded and read


@pytest.fixture
def settings(tmp_path: Path, declare: Declare, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of a lake and a warehouse, where the source has months and a whole dataset."""
    declare(
        'params = { of = "{month}" }\ndata_selector = "$"',
        'first_month = "2024-01"',
        "[datasets.stations.endpoint]\npath = 'stations'\ndata_selector = '$'",
    )
    monkeypatch.setenv("MEDALLION_SOURCES", str(tmp_path / "sources"))
    return Settings(
        _env_file=None,
        lake_url=str(tmp_path / "lake"),
        duckdb_path=tmp_path / "warehouse.duckdb",
        work_dir=tmp_path / "work",
    )


def test_it_is_landed_loaded_read_and_revised(api: Api, settings: Settings) -> None:
    def outcomes(*datasets: str) -> dict[str, str]:
        report = land(settings, datasets, JANUARY, date(2024, 2, 1))
        return {f.published.name: f.outcome for f in report.files}

    def rows(sql: str) -> list[tuple[Any, ...]]:
        with connect(settings, read_only=True) as session:
            return session.query(sql).rows

    def of_a_month(asked: Asked) -> object:
        return [{"id": n, "Reading": n / 4, "month": asked.params["of"]} for n in range(3)]

    api.routes["/v1/observations"] = of_a_month
    api.answers("/v1/stations", [{"id": 1, "name": "Central Park"}])
    assert outcomes("observations", "stations") == {
        "observations 2024-01": Outcome.NEW,
        "observations 2024-02": Outcome.NEW,
        "stations": Outcome.NEW,
    }
    assert load(settings).failed == {}
    assert rows("select source_month, id, reading, month from airfield.observations order by 1, 2")[
        2:4
    ] == [(JANUARY, 2, 0.5, "2024-01"), (date(2024, 2, 1), 0, 0.0, "2024-02")]
    assert rows("select id, name from airfield.stations") == [(1, "Central Park")]
    table = ingestion.dataset("observations", "2024-02", settings=settings).read_all()
    assert table.column("id").to_pylist() == [0, 1, 2]

    assert set(outcomes("observations", "stations").values()) == {Outcome.SAME_CONTENT}
    assert len(Catalog(settings.lake_url).versions()) == 3
    api.routes["/v1/observations"] = lambda asked: [
        {"id": 0, "Reading": 9.75, "month": asked.params["of"]},
        *of_a_month(asked)[1:],
    ]
    assert set(outcomes("observations").values()) == {Outcome.REPUBLISHED}
    assert load(settings).failed == {}
    assert rows("select sum(reading), count(*) from airfield.observations") == [(21.0, 6)]
    assert len(Catalog(settings.lake_url).versions()) == 5


def test_it_is_tried_without_landing(api: Api, settings: Settings) -> None:
    api.answers("/v1/stations", [{"id": 1, "name": "Central Park"}])
    api.answers("/v1/observations", [], [], [{"id": 1}])
    months, whole = try_source(settings, registry.sources()["airfield"])
    assert (months.error, months.rows) == (None, 1)
    assert (whole.error, whole.rows) == (None, 1)
    assert Catalog(settings.lake_url).landings == []


def test_a_fault_of_one_item_leaves_the_others(api: Api, settings: Settings) -> None:
    api.routes["/v1/observations"] = lambda asked: (
        Reply(b"<html>", 200) if asked.params["of"] == "2024-01" else [{"id": 1}]
    )
    report = land(settings, ["observations"], JANUARY, date(2024, 2, 1))
    assert [f.outcome for f in report.files] == [Outcome.FAILED, Outcome.NEW]
    (told,) = land_errors(report)
    assert told.count("observations 2024-01") == 1
    assert list((settings.work_dir / "spool").rglob("*.part")) == []
    today = datetime.now(UTC).date().replace(day=1)
    api.answers("/v1/observations", [])
    (coming,) = land(settings, ["observations"], today).files
    assert coming.outcome == Outcome.NOT_YET
    # what is named alone is meant
    (named,) = land(settings, ["observations"], today, today).files
    assert (named.outcome, named.error) == (Outcome.FAILED, "it is not published yet.")


# A pandas whose import ends only when the thread that asks the API waits for it.
SLOW_PANDAS = """
import sys, time

def names(frame):
    while frame:
        yield frame.f_code.co_name
        frame = frame.f_back

limit = time.monotonic() + 30
while time.monotonic() < limit:
    if any("import_pandas" in names(frame) for frame in sys._current_frames().values()):
        break
    time.sleep(0.01)

class DataFrame:
    pass
"""
WHILE_PANDAS_IS_IMPORTED = """
import sys, time
from pathlib import Path
from threading import Thread
from ingestion.sources.base import Publisher
from ingestion.sources.declared import read_source
from ingestion.sources.rest_api.kind import discover, fetch

source = read_source(Path("sources/airfield/source.toml"))
publisher = Publisher(source, source.url)
(file,) = discover(publisher)
fetch(publisher, file, Path("spool"))
assert not {"pandas", "pyarrow"} & set(sys.modules)
importing = Thread(target=__import__, args=("pandas",))
importing.start()
while "pandas" not in sys.modules:
    time.sleep(0.01)
fetch(publisher, file, Path("spool"))
importing.join()
"""


def test_an_api_is_asked_without_pandas_and_while_another_thread_imports_it(
    api: Api, declare: Declare, tmp_path: Path
) -> None:
    api.answers("/v1/observations", ROWS)
    declare()
    (tmp_path / "pandas.py").write_text(SLOW_PANDAS)
    subprocess.run(
        [sys.executable, "-c", WHILE_PANDAS_IS_IMPORTED],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        check=True,
    )


def test_a_month_that_had_rows_and_has_none_now_is_an_error(api: Api, settings: Settings) -> None:
    this_month = datetime.now(UTC).date().replace(day=1)

    def only() -> Any:
        (landed,) = (
            f
            for f in land(settings, ["observations"], this_month).files
            if f.published.dataset == "observations"
        )
        return landed

    api.answers("/v1/observations", [])
    assert only().outcome is Outcome.NOT_YET
    api.answers("/v1/observations", [{"id": 1}])
    assert only().outcome is Outcome.NEW
    api.answers("/v1/observations", [])
    gone = only()
    assert gone.outcome is Outcome.FAILED
    assert "the source has nothing of it now, and had 1 rows when it was landed" in gone.error
    (held,) = Catalog(settings.lake_url).current()
    assert held.row_count == 1
