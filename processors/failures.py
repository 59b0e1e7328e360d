"""What becomes of a record whose lead could not be read: decided from the error's class alone. Performs no I/O.

    nothing wrong with the record   Unavailable OverBudget AccessLost Blocked, no token   HOLD: asked again, in place
    perhaps too early               Missing                                               RACE: asked again for seconds
    perhaps one field too many      BadAsk, and code 3, which one field alone can cause   FEWER_FIELDS, once

A record that is held keeps its place: nothing is committed past it, so nothing is lost however long it takes.
"""

from enum import Enum, auto

from ingest.meta.errors import AccessLost, BadAsk, Blocked, GraphError, Missing, OverBudget

_BLOCKED_SECONDS = 3600.0  # policy blocks last hours, and calls make them longer
_RETENTION_SECONDS = 90 * 86400.0  # Meta deletes a lead 90 days after it was submitted


class NoToken(Exception):
    """META_PAGES_FILE has no token for the page yet; once it has, its leads go on."""

    reason = "no-token"


class Verdict(Enum):
    """What to do with the record now."""

    HOLD = auto()
    RACE = auto()
    FEWER_FIELDS = auto()


def verdict(error: GraphError | NoToken) -> Verdict:
    match error:
        case Missing():
            return Verdict.RACE
        case BadAsk() | AccessLost(reason="capability"):
            return Verdict.FEWER_FIELDS
        case _:
            return Verdict.HOLD


def pause(error: GraphError | NoToken) -> float | None:
    """Seconds to leave Meta alone where the error says so; None where the usual growing pauses will do."""
    match error:
        case OverBudget(regain_after=float(seconds)):
            return seconds
        case Blocked():
            return _BLOCKED_SECONDS
        case _:
            return None


def missing_reason(created_time: int | None, *, now: float) -> str:
    """Why a lead that is not there never will be: `expired` when Meta deleted it, else `not-found`. Unix seconds."""
    if created_time is not None and now - created_time > _RETENTION_SECONDS:
        return "expired"
    return "not-found"
