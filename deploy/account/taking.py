"""Takes the account: the groups' offsets first, then what the topics hold, then each record's fate.

Why nothing can be "in between". First it is asked how far the groups have committed. Only then is it asked where each
topic ends, and everything up to there is read. Fetch, map and retry commit an offset when everything that came of the
records below it is acknowledged. So whatever came of a record below a committed offset was on its topic when the ends
were asked for, and has been read:

    raw, again   below fetch's offset: details, a dead letter, a parked record or a copy on a rung, and the fate
    a rung       below retry's offset: its copy on `again`
    details      below map's offset:   the lead or its tombstone on leads.v1 and its targets, or dead letters

For a target the same holds, once it is known for whom a lead was meant. The lead on leads.v1 says so, and may be
acknowledged a moment before its CRM records; after a replay, what it says may be new of details whose offset was
committed long ago, and an older lead may for a moment stand in the place of a newer one, there and on a target's topic.
So before the offsets it is asked where these topics end, and what lies beyond may not accuse. Of a lead that was there
before: map delivers the lead, its CRM records, its dead letters and their fates before it commits
the offset of their details. If they were not all acknowledged when the topics' ends were asked for, that offset was not
committed when the offsets were, and those details, or newer ones of the lead, are found to be still unread. So where
they are not, the CRM record or its dead letter is there, or was never written.

A record that is at or above the offset of its reader, or has a copy that is, will still be read. What is neither will
never come of itself: it is lost, and never late. A fate that sends a record back is told after the copy was
acknowledged, and the end of the fates is asked for first: so of every such fate that is read the copy is there.

A record counts from when it was acknowledged until raw's retention is over. Nothing is told of it for shorter than
that: all else is written later and kept as long. One limit: where the books are made anew, the record of a lead that
was erased more than a week ago (its tombstone is gone by then) looks lost until `meta.leadgen.erased` speaks for it.
"""

import os
import re
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import schemas
from deploy.sandbox.flock import held
from deploy.sending import ReadsTopics
from ingest.reading import Reader
from ingest.records import AGAIN, RAW, Topics
from ingest.settings import KafkaSettings

from .books import Books, NoBooks, Unusable, delete, open_books
from .counting import Account, Asked, count
from .entries import packed
from .positions import NoAnswer, Positions, positions
from .reading import Bounds, Told, read_on
from .settling import settle

_HOUR = 3_600_000
_DAY = 24 * _HOUR
FOR_EVER = 2**62  # an end, in unix milliseconds, where none was asked for

Result = TypeVar("Result")


class AccountError(Exception):
    """The account cannot be taken; the text says why, and what to look at."""


def default_state(cluster: str, prefix: str) -> Path:
    """A file for each cluster and TOPIC_PREFIX, in the folder where the user's programs keep their state."""
    home = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state", "leadstream", "account")
    return home / f"{re.sub(r'[^A-Za-z0-9_-]', '_', cluster)}-{prefix or 'no.prefix'}.sqlite"


def take_account(
    settings: KafkaSettings,
    state: Path | None = None,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    page: str | None = None,
    told: Told = lambda *_: None,
    waiting: Callable[[], None] = lambda: None,
) -> Account:
    """What became of what was acknowledged from `since` on and before `until`, as it is now.

    `state` is the file of the books, else one in the user's state folder. `told` hears how many records were read, of
    how many; `waiting` is called when another process has the books. AccountError, or ReadingError.
    """
    try:
        found = positions(settings)
    except NoAnswer as error:
        raise AccountError(str(error)) from None
    file = (state or default_state(found.cluster, settings.topic_prefix)).absolute()
    now = time.time_ns() // 1_000_000
    with Reader(settings) as reader:
        return keep(
            reader,
            file,
            found,
            Topics(prefix=settings.topic_prefix),
            Asked(since=_ms(since, 0), until=_ms(until, FOR_EVER), page=page),
            now=now,
            told=told,
            waiting=waiting,
        )


def keep(
    reader: ReadsTopics,
    file: Path,
    found: Positions,
    topics: Topics,
    asked: Asked,
    *,
    now: int,
    told: Told = lambda *_: None,
    waiting: Callable[[], None] = lambda: None,
) -> Account:
    """The same, of what `found` was before the reader reads. `now` is unix milliseconds."""
    begins = now - _retention()
    asked = Asked(since=max(asked.since, begins), until=asked.until, page=asked.page)

    def taken(books: Books, notes: tuple[str, ...]) -> Account:
        bounds = bring_up(reader, books, found, topics, now=now, told=told)
        return count(books, asked, found, bounds, now=now, notes=notes)

    return with_books(file, found, topics, waiting, taken)


def with_books(
    file: Path,
    found: Positions,
    topics: Topics,
    waiting: Callable[[], None],
    do: Callable[[Books, tuple[str, ...]], Result],
) -> Result:
    """What is done with the books while nobody else has them; made anew, and done again, where they are unusable.

    `do` is told the books and the sentences about them. AccountError.
    """
    why: list[str] = []
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with held(file.with_name(f"{file.name}.lock"), waiting):
            while True:
                try:
                    with open_books(file, cluster=found.cluster, prefix=topics.prefix) as books:
                        return do(books, tuple(why))
                except Unusable as unusable:
                    if why:
                        raise AccountError(
                            f"{file} could not be made anew: {unusable}. Choose another with --state"
                        ) from None
                    why.append(f"The books are made anew from the topics: {unusable}.")
                    delete(file)
    except (NoBooks, OSError) as error:
        raise AccountError(str(error)) from None


def bring_up(
    reader: ReadsTopics, books: Books, found: Positions, topics: Topics, *, now: int, told: Told
) -> Mapping[str, Bounds]:
    """Reads on, and judges what is open; by topic, the bounds that were read to. Unusable, or ReadingError."""
    books.go_by(found.committed, found.mapped)
    bounds = read_on(reader, topics, books, told, crm=found.crm)
    books.forget((packed(number, 0), packed(number, first)) for number, (first, _) in bounds[RAW].items())
    # A day more, as the clocks of door and workers differ.
    books.expire(now - _retention() - _DAY, now=now, every=_HOUR)
    settle(books, topics(AGAIN))
    return bounds


def _retention() -> int:
    retention = schemas.topics()[RAW].retention
    assert retention is not None, "raw is not kept for ever"  # noqa: S101  a contract test holds topics.toml to it
    return round(retention.total_seconds() * 1000)


def _ms(moment: datetime | None, otherwise: int) -> int:
    return otherwise if moment is None else round(moment.timestamp() * 1000)
