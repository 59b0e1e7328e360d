"""What a release by hand does: which pages may be asked again because a person says so, and what is sent for them.

Record and fate are those that the releaser of `work retry` sends. Neither the topic nor a group is changed, so what is
still refused is parked anew and nothing else.
"""

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol, get_args

from deploy.sending import Parcel, ReadsTopics
from ingest.meta.errors import Scope
from ingest.meta.pages import PageAccess
from ingest.records import ACCESS, Topics
from processors.access import AccessStates, Standing
from processors.releaser import again, released

from .stock import Entry, Filter, Stock

SCOPES: tuple[Scope, ...] = get_args(Scope)

Counts = Counter[tuple[str, str]]  # by page and reason


class FindsPages(Protocol):
    """Whose token is there."""

    def get(self, page_id: str) -> PageAccess | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """Something that is marked broken or in doubt, and what is written to mark it open."""

    was: Standing
    opened: Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a release would do. What is refused waits on; `because` has the sentence for each such page."""

    counts: Counts
    openings: Sequence[Opening]
    because: Mapping[str, str]

    @property
    def total(self) -> int:
        return sum(number for (page_id, _), number in self.counts.items() if page_id not in self.because)


def plan(
    stock: Stock,
    reader: ReadsTopics,
    topics: Topics,
    wanted: Filter,
    *,
    states: AccessStates,
    pages: FindsPages,
    now: int,
) -> Plan:
    """Reads what waits and `meta.access`, into `states`. `now` is unix milliseconds. ReadingError."""
    counts: Counts = Counter((entry.page_id, entry.reason) for entry in stock.entries(reader, wanted))
    for received in reader.read(topics(ACCESS)):
        states.follow(received)
    because: dict[str, str] = {}
    going: list[PageAccess] = []
    for page_id in sorted({page_id for page_id, _ in counts}):
        page = pages.get(page_id)
        if page is None:
            because[page_id] = "META_PAGES_FILE has no token of it: its leads would only be parked again"
        elif (pause := _pause(states, page)) is not None:
            because[page_id] = f"Meta is not to be asked before {_utc(pause.until)} ({pause.reason}): release it then"
        else:
            going.append(page)
    return Plan(counts=counts, openings=openings(states, going, now=now), because=because)


def openings(states: AccessStates, pages: Iterable[PageAccess], *, now: int) -> list[Opening]:
    """For what is broken or in doubt of these pages, their tokens and apps, each once. `now` is unix milliseconds."""
    keys = {states.key(page, scope): page.page_id for page in pages for scope in SCOPES}
    stand = [(states.of(key), page_id) for key, page_id in keys.items()]
    return [
        Opening(
            was=was,
            opened=Standing(state="open", key=was.key, reason="released", at=now, page_id=page_id),
        )
        for was, page_id in stand
        if was.state in ("broken", "doubtful")
    ]


def parcels(
    stock: Stock, reader: ReadsTopics, second: ReadsTopics, wanted: Callable[[Entry], bool], *, every: int
) -> Generator[Parcel, None, None]:
    """What is sent for those that still wait when their turn comes: a page that is open is the releaser's too.

    `second` reads what fates say, at first and after every so many records, while `reader` is under way.
    """
    stock.hear(second)
    for number, entry in enumerate(stock.entries(reader, wanted), 1):
        yield Parcel(record=again(entry.received), fates=(released(entry.received),))
        if number % every == 0:
            stock.hear(second)


def _pause(states: AccessStates, page: PageAccess) -> Standing | None:
    """The longest pause of a page, its token and its app. It may hide behind something broken."""
    paused = [standing for scope in SCOPES if (standing := states.of(states.key(page, scope))).state == "paused"]
    return max(paused, key=lambda standing: standing.until or 0, default=None)


def _utc(milliseconds: int | None) -> str:
    return f"{datetime.fromtimestamp((milliseconds or 0) / 1000, tz=UTC):%Y-%m-%d %H:%M:%S} UTC"
