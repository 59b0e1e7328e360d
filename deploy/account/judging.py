"""What one acknowledged record has become: decided from what the topics tell of it. Performs no I/O.

fetched    its details are there, or those of a later notification of its lead (details is compacted by lead)
skipped    its fate says so
duplicate  its fate says so, and details of its lead are there: only of such a lead a notification is suppressed
dead       its fate says so, and the dead letter is there
parked     its fate says so, and the record is on the topic of parked ones
waiting    a copy of it is still to be read: on a rung by `work retry`, on `again` by `work fetch`
unread     it is on raw, at or above where fetch has committed
open       a dead letter of the door that nobody has sent back yet
lost       none of these

A fate tells what was decided about which record: raw itself, or a copy on `again`. Whoever sends a record back (the
releaser, `dead redrive`) tells it after the copy is there, so what came of the copy may have been told before. Such a
fate is therefore not the last word when fetch has spoken about the newest copy; and since fates are compacted, what
lies on details, dead and parked and is newer than that copy speaks for it as well.
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["fetched", "waiting", "parked", "dead", "skipped", "duplicate", "unread", "open", "lost"]
KINDS: tuple[Kind, ...] = ("fetched", "waiting", "parked", "dead", "skipped", "duplicate", "unread", "open", "lost")


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A fate. `seq` is its offset among the fates of its key; `source` where on `again` the record lay, if there."""

    kind: str
    seq: int
    at: int
    source: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """The newest copy on a topic. `unread` is whether its reader has not committed past it yet."""

    at: int
    unread: bool = False
    place: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All there is of a record; times are unix milliseconds."""

    at: int  # when it was acknowledged
    unread: bool = False  # at or above where fetch has committed on raw
    door: bool = False  # a dead letter of the door
    own_details: int | None = None  # when its answer was written, if the newest of its lead is its own
    lead_details: int | None = None  # when the newest of its lead was written
    told: Told | None = None  # fetch's own word
    moved: Told | None = None  # that of whoever sent it back
    again: Copy | None = None
    rungs: tuple[Copy, ...] = ()
    parked: int | None = None
    letter: int | None = None  # when its newest dead letter of fetch was written


def judge(evidence: Evidence) -> Kind:
    last = _last(evidence)
    if evidence.own_details is not None and (last is None or evidence.own_details > last.at):
        return "fetched"
    if last is not None and (said := _as_told(last, evidence)) is not None:
        return said
    if any(copy.unread for copy in (*evidence.rungs, *([evidence.again] if evidence.again else ()))):
        return "waiting"
    if evidence.unread:
        return "unread"
    if evidence.door and last is None and evidence.again is None:
        return "open"
    return _of_what_is_newer(evidence, last)


def _last(evidence: Evidence) -> Told | None:
    told, moved, again = evidence.told, evidence.moved, evidence.again
    if moved is None or told is None or told.seq > moved.seq:
        return told or moved
    return told if again is not None and told.source == again.place else moved


def _as_told(last: Told, evidence: Evidence) -> Kind | None:
    """What the fate says, if the record that it speaks of is there."""
    match last.kind:
        case "skipped":
            return "skipped"
        case "fetched" | "duplicate" as kind if evidence.lead_details is not None:
            return kind
        case "parked" if evidence.parked is not None:
            return "parked"
        case "dead" if evidence.letter is not None:
            return "dead"
    return None


def _of_what_is_newer(evidence: Evidence, last: Told | None) -> Kind:
    """Where no fate says it: what was written after the last record that had to be read."""
    since = evidence.again.at if evidence.again else last.at if last else evidence.at
    if evidence.lead_details is not None and evidence.lead_details >= since:
        return "fetched"
    if evidence.again is not None and evidence.letter is not None and evidence.letter >= since:
        return "dead"
    if evidence.again is not None and evidence.parked is not None and evidence.parked >= since:
        return "parked"
    return "lost"
