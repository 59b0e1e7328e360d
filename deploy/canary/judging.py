"""What a run of the canary shows: how long each stage took, or which one the test lead did not pass. Performs no I/O.

The stages, each from the end of the one before:
    door    Meta has made the lead, and our door has its notification
    raw     the notification is on meta.leadgen.raw
    fetch   the whole answer is on meta.leadgen.details
    map     the typed lead was read from leads.v1
"""

from dataclasses import dataclass
from typing import Literal, get_args

from ingest.records import Received

Stage = Literal["door", "raw", "fetch", "map"]
STAGES: tuple[Stage, ...] = get_args(Stage)
Stuck = Literal["door", "fetch", "map"]  # what the door has, it has on raw: before that it acknowledges nothing

Outcome = Literal[
    "in-time",  # on leads.v1 within the objective
    "late",  # within the timeout
    "lost",  # not within the timeout
    "not-asked",  # the page is paused or broken, so Meta was not asked
    "not-made",  # Meta made no test lead
    "occupied",  # the form has a test lead that is not ours to delete
    "unread",  # Kafka cannot be read, so that nobody would have seen the lead
    "stopped",  # told to stop while it waited
]
FLOWN: frozenset[Outcome] = frozenset({"in-time", "late", "lost"})  # what the objective is about


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Seconds."""

    timeout: float = 120.0  # until it is lost
    objective: float = 60.0  # until it is late


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """When the lead passed what, in unix milliseconds by the clock of whoever wrote it; None where it is not known."""

    asked_at: int  # Meta to make it
    received_at: int | None = None
    raw_at: int | None = None
    fetched_at: int | None = None
    seen_at: int | None = None

    @property
    def seconds(self) -> dict[Stage, float | None]:
        """Of each stage. Where a clock is behind another one, nothing and not less."""
        ends = (self.received_at, self.raw_at, self.fetched_at, self.seen_at)
        begins = (self.asked_at, *ends)
        return {
            stage: None if begin is None or end is None else max(0, end - begin) / 1000
            for stage, begin, end in zip(STAGES, begins, ends, strict=False)
        }

    @property
    def whole(self) -> float | None:
        """Seconds from asking Meta to reading the lead, both by our clock."""
        return None if self.seen_at is None else max(0, self.seen_at - self.asked_at) / 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """The last that was told of a lead on meta.leadgen.fates."""

    stage: str  # fetch or map
    fate: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What the topics hold of a lead that did not come through."""

    raw: Received | None = None
    details: Received | None = None
    told: Told | None = None

    @property
    def stuck(self) -> Stuck:
        """The first stage that the lead did not pass."""
        if self.raw is None:
            return "door"
        return "fetch" if self.details is None else "map"

    @property
    def unfetched(self) -> bool:
        """Whether fetch has not even come to the notification."""
        return self.stuck == "fetch" and self.told is None

    @property
    def told_there(self) -> Told | None:
        """What was told of the lead by the stage that it did not pass."""
        return self.told if self.told is not None and self.told.stage == self.stuck else None

    def times(self, asked_at: int) -> Times:
        """As far as it came."""
        return Times(
            asked_at=asked_at,
            received_at=received_at(self.raw) if self.raw else None,
            raw_at=self.raw.timestamp if self.raw else None,
            fetched_at=self.details.timestamp if self.details else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Flight:
    """A run, from its beginning to whatever end. `reason` is a word of a closed list, or empty."""

    form_id: str
    outcome: Outcome
    reason: str = ""
    lead_id: str | None = None
    times: Times | None = None
    stuck: Stuck | None = None  # of a lead that was lost; None where the topics could not be read again
    told: Told | None = None
    left: str | None = None  # why the test lead is still at Meta


def judge(times: Times, limits: Limits) -> Outcome:
    """Of a lead that came through."""
    return "in-time" if times.whole is not None and times.whole <= limits.objective else "late"


def received_at(received: Received) -> int | None:
    """When the door received what this came from, in unix milliseconds."""
    said = received.header("received-at") or ""
    return int(said) if said.isascii() and said.isdigit() else None
