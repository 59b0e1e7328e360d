"""The index: where each of some leads is, looked up in the account's books, which it keeps up as `status` does.

For doors that read many leads at Meta and have to know which of them are here. The books are held for as long as a
`refresh` takes, so that `status`, and others who look leads up, work beside it. Ids are looked up in batches: the leads
of 90 days are on disk, never in memory.
"""

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from deploy.sending import ReadsTopics
from ingest.details import RICHNESS
from ingest.reading import Reader
from ingest.records import LEADS, Topics
from ingest.settings import KafkaSettings
from ingest.whereabouts import Outdone, Unmapped, Whereabouts
from schemas.shapes import Completeness

from .books import Books, Value, open_books
from .entries import an_id, at_place, of_place
from .positions import NoAnswer, Positions, positions
from .reading import Told
from .taking import AccountError, bring_up, default_state, with_books
from .targets import became_of

__all__ = ["Index", "Outdone", "Whereabouts", "open_index"]

_AT_ONCE = 1_000
_WORDS: Mapping[int, Completeness] = {richness: word for word, richness in RICHNESS.items()}
_THESE = "lead IN (SELECT value FROM json_each(:leads))"
_DETAILS = f"SELECT lead, richness, erased, origin, partition, offset FROM details WHERE {_THESE}"  # noqa: S608  _THESE is ours
_MAPPED = f"SELECT lead, erased FROM mapped WHERE target = :topic AND {_THESE}"  # noqa: S608  _THESE is ours
# The newest comes last. One that nobody has judged yet lies on raw, and that is all there is to say.
_PROMISES = f"""
SELECT lead, coalesce(kind, 'unread'), reconciled, CASE WHEN kind IN ('fetched', 'unread') THEN NULL ELSE coalesce((
    SELECT reason FROM fate WHERE fate.origin = promise.origin AND stage = 'fetch' ORDER BY moved LIMIT 1
), (
    SELECT reason FROM letter WHERE letter.origin = promise.origin AND stage = 'fetch' ORDER BY letter.at DESC LIMIT 1
)) END FROM promise WHERE {_THESE} ORDER BY at, origin
"""  # noqa: S608  _THESE is ours
_WHY_DEAD = "SELECT reason FROM letter WHERE origin = ? AND stage = 'map' AND target = '' ORDER BY at DESC LIMIT 1"
_OUTDONE = (
    "SELECT lead, richer_at, partition, offset FROM details WHERE richer IS NOT NULL AND lead > ? ORDER BY lead LIMIT ?"
)


class Index:
    """Made by `open_index`. Its methods block, and may be called from any thread."""

    def __init__(
        self,
        *,
        found: Callable[[], Positions],
        reader: Callable[[], AbstractContextManager[ReadsTopics]],
        file: Callable[[Positions], Path],
        topics: Topics,
        clock: Callable[[], int],
        told: Told = lambda *_: None,
        waiting: Callable[[], None] = lambda: None,
    ) -> None:
        """`clock` is unix milliseconds; the rest as `take_account` has it."""
        self._found = found
        self._reader = reader
        self._file = file
        self._topics = topics
        self._clock = clock
        self._told = told
        self._waiting = waiting
        self._books: Books | None = None
        self._open = ExitStack()
        self._turn = threading.Lock()

    def close(self) -> None:
        self._books = None
        self._open.close()

    def refresh(self) -> None:
        """Reads what is new on the topics: the first time all of them. AccountError, ReadingError."""
        with self._turn:
            found = self._found()
            file = self._file(found)

            def read_on(books: Books, _notes: tuple[str, ...]) -> None:
                with self._reader() as reader:
                    bring_up(reader, books, found, self._topics, now=self._clock(), told=self._told)
                # Those to look leads up in, opened while nobody can delete the file.
                self.close()
                self._books = self._open.enter_context(
                    open_books(file, cluster=found.cluster, prefix=self._topics.prefix)
                )
                self._books.go_by(found.committed, found.mapped)

            with_books(file, found, self._topics, self._waiting, read_on)

    def of(self, lead_ids: Collection[str]) -> Mapping[str, Whereabouts]:
        """Of those leads that anything is known of, as of the last `refresh` or later. AccountError."""
        known = {an_id(lead): lead for lead in lead_ids}
        with self._looking() as connection:
            return {known[lead]: found for lead, found in _look_up(connection, list(known)).items()}

    def outdone(self) -> Iterator[Outdone]:
        """The leads whose newest details is poorer than an earlier one, and where that lay. AccountError.

        It may be gone from there: details is compacted by lead.
        """
        after: Value = -1  # numbers come before texts
        while True:
            with self._looking() as connection:
                rows = connection.execute(_OUTDONE, (after, _AT_ONCE)).fetchall()
            for lead, place, *by in rows:
                partition, offset = at_place(place)
                yield Outdone(lead_id=str(lead), partition=partition, offset=offset, by=(by[0], by[1]))
            if len(rows) < _AT_ONCE:
                return
            after = rows[-1][0]

    @contextmanager
    def _looking(self) -> Iterator[sqlite3.Connection]:
        with self._turn:
            if self._books is None:
                raise AccountError("the index was not read yet")
            try:
                yield self._books.connection
            except sqlite3.DatabaseError as error:
                raise AccountError(f"the account's books cannot be read ({error}): run it again") from None


@contextmanager
def open_index(
    settings: KafkaSettings,
    state: Path | None = None,
    *,
    told: Told = lambda *_: None,
    waiting: Callable[[], None] = lambda: None,
) -> Iterator[Index]:
    """The index, which has been read to the topics' ends. AccountError, or ReadingError.

    `state`, `told` and `waiting` are those of `take_account`.
    """

    def found() -> Positions:
        try:
            return positions(settings)
        except NoAnswer as error:
            raise AccountError(str(error)) from None

    index = Index(
        found=found,
        reader=lambda: Reader(settings),
        file=lambda found: (state or default_state(found.cluster, settings.topic_prefix)).absolute(),
        topics=Topics(prefix=settings.topic_prefix),
        clock=lambda: time.time_ns() // 1_000_000,
        told=told,
        waiting=waiting,
    )
    try:
        index.refresh()
        yield index
    finally:
        index.close()


def _look_up(connection: sqlite3.Connection, leads: list[Value]) -> Mapping[Value, Whereabouts]:
    asked = {"leads": json.dumps(leads), "topic": LEADS}
    details = {lead: said for lead, *said in connection.execute(_DETAILS, asked)}
    mapped = {lead: bool(erased) for lead, erased in connection.execute(_MAPPED, asked)}
    promised = {lead: said for lead, *said in connection.execute(_PROMISES, asked)}
    unmapped = [lead for lead in details if mapped.get(lead, True)]
    became = became_of(connection, json.dumps(unmapped)) if unmapped else {}
    found = {}
    for lead in details.keys() | mapped.keys() | promised.keys():
        richness, erased, *place = details.get(lead, (None, mapped.get(lead, False)))
        fate, reconciled, reason = promised.get(lead, (None, None, None))
        left: Unmapped | None = None
        match became.get(lead):
            case None | "mapped":
                pass
            case kind:
                left = kind
        found[lead] = Whereabouts(
            details=_WORDS.get(richness or 0),
            erased=bool(erased),
            mapped=not mapped.get(lead, True),
            fate=fate,
            reason=reason,
            reconciled=bool(reconciled),
            unmapped=left,
            unmapped_reason=_why_dead(connection, *place) if left == "dead" else None,
        )
    return found


def _why_dead(connection: sqlite3.Connection, origin: int | None, partition: int, offset: int) -> str | None:
    of = of_place(partition, offset) if origin is None else origin
    return next((str(reason) for (reason,) in connection.execute(_WHY_DEAD, (of,))), None)
