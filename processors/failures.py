"""What becomes of a record whose lead could not be read: decided from what went wrong and how often. Performs no I/O.

went unanswered (Unavailable)             the next rung of the ladder; after the last, parked as `exhausted`
paused (OverBudget, Blocked, a storm)     the largest rung that is not longer than the pause; no try is used up
a slow page that fills the window         the first rung; no try is used up
broken access (AccessLost), no token      parked until it is repaired
not there (Missing, 100/33)               this record alone is parked; dead where it comes back and is still not
                                          there, though other leads of its page are
a bad ask (BadAsk), fewer fields as well  dead
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ingest.records import PARKED, RETRY, Fate, Received
from processors.access import Standing

RETENTION_SECONDS = 90 * 86400.0  # Meta deletes a lead 90 days after it was submitted

EXHAUSTED = "exhausted"
EXPIRED = "expired"
NOT_FOUND = "not-found"
NO_TOKEN = "no-token"  # noqa: S105  a word


@dataclass(frozen=True, slots=True, kw_only=True)
class Aside:
    """Where a record waits. `attempt` is the number of the try it waits for, or of the last one where it is parked."""

    topic: str
    fate: Fate
    reason: str
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder:
    """`delays` are the rungs' seconds, rising, in the order of `RETRY`."""

    delays: Sequence[float]

    def unanswered(self, received: Received, reason: str) -> Aside:
        """One rung further after each try."""
        attempt = attempt_of(received)
        if attempt > len(RETRY):
            return Aside(topic=PARKED, fate="parked", reason=EXHAUSTED, attempt=attempt)
        return Aside(topic=RETRY[attempt - 1], fate="waiting", reason=reason, attempt=attempt + 1)

    def turned(self, received: Received, standing: Standing, *, now: int) -> Aside:
        """The page may not be asked now. `now` is unix milliseconds."""
        attempt = attempt_of(received)
        if standing.state == "broken":
            return parked(received, standing.reason)
        left = ((standing.until or 0) - now) / 1000
        rung = max((number for number, delay in enumerate(self.delays) if delay <= left), default=0)
        return Aside(topic=RETRY[rung], fate="waiting", reason=standing.reason, attempt=attempt)


def crowded(received: Received) -> Aside:
    """The page is slow, and has its share of the window already. No try is used up."""
    return Aside(topic=RETRY[0], fate="waiting", reason="crowded", attempt=attempt_of(received))


def parked(received: Received, reason: str) -> Aside:
    return Aside(topic=PARKED, fate="parked", reason=reason, attempt=attempt_of(received))


def attempt_of(received: Received) -> int:
    return _number(received.header("attempt"), digits=4) or 1


def first_failed_at(received: Received) -> int | None:
    """Unix milliseconds; None where it has not failed before."""
    return _number(received.header("first-failed-at"), digits=16)


def is_expired(created_time: int | None, *, now: int) -> bool:
    """Whether Meta has deleted the lead. `created_time` is unix seconds, `now` unix milliseconds."""
    return created_time is not None and now / 1000 - created_time > RETENTION_SECONDS


def _number(said: str | None, *, digits: int) -> int | None:
    """What we have written; somebody else may have written anything."""
    return int(said) if said is not None and said.isascii() and said.isdecimal() and len(said) <= digits else None
