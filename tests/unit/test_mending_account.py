"""After a mending the account still holds, and the index that told of it is content: both read the real books."""

import asyncio
from contextlib import nullcontext
from pathlib import Path

import pytest

from deploy.account import Index
from deploy.account.books import delete
from deploy.account.positions import READS, Positions
from ingest.mending import Mended, mend
from ingest.records import DETAILS, Received, Record, header, headers
from schemas.shapes import Completeness
from tests.past import Past


@pytest.fixture
def past(tmp_path: Path) -> Past:
    return Past(tmp_path)


def index_of(past: Past) -> Index:
    """Over the books that the account is taken from."""

    def found() -> Positions:
        committed = past.ends(*(topic for topics in READS.values() for topic in topics))
        return Positions(cluster=past.identity, committed=committed | past.stands, mapped=past.ends(*past.mapped))

    return Index(
        found=found,
        reader=lambda: nullcontext(past.reader),
        file=lambda _: past.folder / "books.sqlite",
        topics=past.cluster.topics,
        clock=lambda: past.now,
    )


def mended(past: Past) -> Mended:
    index = index_of(past)
    try:
        return asyncio.run(mend(index, past.reader, past.cluster, past.cluster.topics))
    finally:
        index.close()


def answered(past: Past, raw: Received, completeness: Completeness) -> Received:
    said = headers({"origin": raw.origin, "completeness": completeness})
    lead = past.lead_of(raw).encode()
    details = past.cluster.put(Record(topic=DETAILS, key=lead, value=completeness.encode(), headers=said))
    return past.map(details)


def imported(past: Past, lead: str) -> None:
    said = headers({"source": "import", "completeness": "EXPORT"})
    past.map(past.cluster.put(Record(topic=DETAILS, key=lead.encode(), value=b"EXPORT", headers=said)))


def test_no_notification_that_was_answered_poorer_is_lost(past: Past) -> None:
    """What lies there now is older than they are; neither books kept on nor books made anew may miss them."""
    first, other = past.raw(), past.raw()
    lead = past.lead_of(first)
    answered(past, first, "FULL")
    for _ in range(2):
        answered(past, past.raw(lead=lead), "REDUCED")
    imported(past, lead)
    answered(past, other, "REDUCED")
    assert mended(past) == Mended(leads=1, gone=(), left=())
    past.map([received for received in past.cluster.on(DETAILS) if received.key == lead.encode()][-1])
    for books in ("kept on", "made anew", "made anew of what is left"):
        account = past.account()
        assert (books, account.total["fetched"], account.total["lost"], account.holds) == (books, 4, 0, True)
        past.compact(DETAILS)
        delete(past.folder / "books.sqlite")
    assert mended(past) == Mended(leads=0, gone=(), left=())


def test_a_lead_that_was_erased_and_came_back_poorer_is_left_as_it_is(past: Past) -> None:
    """What lay there before the tombstone was erased with it."""
    raw = past.raw()
    answered(past, raw, "FULL")
    past.cluster.put(Record(topic=DETAILS, key=past.lead_of(raw).encode(), value=None))
    imported(past, past.lead_of(raw))
    assert mended(past) == Mended(leads=0, gone=(), left=())
    assert header(past.cluster.on(DETAILS)[-1].headers, "completeness") == "EXPORT"


def test_what_was_compacted_away_is_told(past: Past) -> None:
    raw = past.raw()
    answered(past, raw, "FULL")
    imported(past, past.lead_of(raw))
    index = index_of(past)
    index.refresh()
    index.close()
    past.compact(DETAILS)
    assert mended(past) == Mended(leads=0, gone=(past.lead_of(raw),), left=())
