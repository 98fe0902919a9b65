"""Choose the warehouse or the publication for a reader, so that no reader waits for a run."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime

from ingestion.errors import WarehouseBusyError
from ingestion.publications.manifest import Publication
from ingestion.publications.read import PublishedDuckDb, current, find
from ingestion.settings import Settings
from ingestion.warehouse import engine_for
from ingestion.warehouse.base import Engine, Session


@contextmanager
def reading(
    settings: Settings,
    live: bool = False,
    publication: str | None = None,
    say: Callable[[str], object] = lambda _: None,
    published_first: bool = False,
) -> Iterator[tuple[Engine, Session]]:
    """Open the warehouse, or the latest publication while a run holds the warehouse.

    ``live`` opens the warehouse in any case. ``publication`` opens the publication with that id or
    day. ``published_first`` is for callers who may read for long: it opens the publication if there
    is one, so that no run waits for them. ``say`` is called with the id and the age of the
    publication that is read. Raises ``WarehouseBusyError`` if the warehouse is held and nothing was
    published.
    """
    engine = engine_for(settings)
    wanted = None if publication is None else find(settings, publication)
    with ExitStack() as stack:
        look_first = not (live or wanted) and settings.publications_url is not None
        latest = _latest(settings, engine) if look_first and published_first else None
        # for all others, the publications need not be reachable while the warehouse can be read
        is_free = look_first and latest is None and engine.exists()
        session = _opened(engine, stack) if is_free else None
        if session is None:
            latest = latest or (_latest(settings, engine) if look_first else None)
            if published := wanted or latest:
                engine = PublishedDuckDb(settings, published)
                say(f"reading {_aged(published)}")
            session = stack.enter_context(engine.session(read_only=True))
        yield engine, session


def _latest(settings: Settings, engine: Engine) -> Publication | None:
    """The latest publication of this warehouse; None if another warehouse publishes there."""
    found = current(settings)
    return found if found and found.origin.warehouse == engine.label else None


def _opened(engine: Engine, stack: ExitStack) -> Session | None:
    """The open warehouse; None if a run is under way, or another process holds the file."""
    if engine.holder():
        return None
    with ExitStack() as attempt:
        try:
            session = attempt.enter_context(engine.session(read_only=True))
        except WarehouseBusyError:
            return None
        # a run may have begun meanwhile, and would have to wait until this closes the file
        if engine.holder():
            return None
        stack.push(attempt.pop_all())
        return session


def _aged(publication: Publication) -> str:
    minutes = int((datetime.now(UTC) - publication.created_at).total_seconds() // 60)
    hours, minutes = divmod(max(minutes, 0), 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "min")]
    told = " ".join(f"{n} {unit}" for n, unit in parts if n) or "less than a minute"
    return f"publication {publication.id}, {told} old"
