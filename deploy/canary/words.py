"""A run of the canary in words: what became of it, how long each stage took, and what to do. Performs no I/O."""

from collections.abc import Iterator
from datetime import UTC, datetime

from .judging import STAGES, Flight, Limits, Outcome, Stage, Stuck, Times, Told

_STAGES: dict[Stage, str] = {
    "door": "received at the door",
    "raw": "on meta.leadgen.raw",
    "fetch": "fetched",
    "map": "on leads.v1",
}
_STUCK: dict[Stuck, str] = {
    "door": (
        "no notification of it came: `leadstream doctor` tells whether the app listens to `leadgen` on both levels and"
        " where it posts to; then look whether `leadstream serve` runs there and answers 200"
    ),
    "fetch": (
        "its notification is on meta.leadgen.raw and nobody has fetched it: is `leadstream work fetch` running, and how"
        " far is it? `leadstream status` tells"
    ),
    "map": (
        "its answer is on meta.leadgen.details and nobody has mapped it: is `leadstream work map` running, and how far"
        " is it? `leadstream status` tells"
    ),
}
_WHY_NOT: dict[Outcome, str] = {
    "not-asked": "Meta was not asked",
    "not-made": "Meta made no test lead",
    "occupied": "the form has a test lead already",
    "unread": "nothing was made, as nobody would have seen it",
    "stopped": "ended by you before the test lead came through",
}


def sentence(flight: Flight, limits: Limits) -> str:
    """What became of it, and what to do where that is something."""
    whole = flight.times.whole if flight.times else None
    match flight.outcome:
        case "in-time":
            return f"In time: {whole:.3f} s, with an objective of {limits.objective:g} s."
        case "late":
            return f"Late: {whole:.3f} s, with an objective of {limits.objective:g} s. `leadstream status` tells why."
        case "lost":
            return f"Lost: not on leads.v1 within {limits.timeout:g} s; {_stuck(flight)}."
        case outcome:
            reason = f" ({flight.reason})" if flight.reason else ""
            return f"Not flown: {_WHY_NOT[outcome]}{reason}{_what_to_do(flight, limits)}."


def lines(flight: Flight, limits: Limits) -> Iterator[str]:
    """All there is to tell to a person."""
    if flight.lead_id is not None and flight.times is not None:
        yield f"test lead {flight.lead_id} on form {flight.form_id}, made at {_clock(flight.times.asked_at)}"
        for stage in STAGES:
            seconds = flight.times.seconds[stage]
            if seconds is not None:
                yield f"  {seconds:8.3f} s  {_STAGES[stage]}"
    yield sentence(flight, limits)
    if flight.left is not None:
        yield (
            f"The test lead {flight.lead_id} is still at Meta, as it could not be deleted ({flight.left}): the next run"
            " deletes it."
        )


def in_json(flight: Flight, limits: Limits) -> dict[str, object]:
    """The same, for programs; seconds of what is not known are null."""
    times = flight.times
    return {
        "outcome": flight.outcome,
        "reason": flight.reason or None,
        "form_id": flight.form_id,
        "lead_id": flight.lead_id,
        "asked_at": None if times is None else _iso(times.asked_at),
        "seconds": None if times is None else {**_seconds(times), "whole": times.whole},
        "objective": limits.objective,
        "timeout": limits.timeout,
        "stuck": flight.stuck,
        "fate": None if flight.told is None else flight.told.fate,
        "fate_reason": None if flight.told is None else flight.told.reason,
        "deleted": flight.lead_id is not None and flight.times is not None and flight.left is None,
        "said": sentence(flight, limits),
    }


def _stuck(flight: Flight) -> str:
    if flight.stuck is None:
        return "and the topics cannot be read now to tell where it is: look at the cluster"
    if flight.told is None:
        return _STUCK[flight.stuck]
    return _fate(flight.told, flight.lead_id or "")


def _fate(told: Told, lead_id: str) -> str:
    match told.fate:
        case "waiting":
            return f"{told.stage} waits to try it again ({told.reason}): `leadstream status` and `leadstream doctor`"
        case "parked":
            return (
                f"{told.stage} has parked it ({told.reason}): `leadstream parked list --lead {lead_id}`, and"
                " `leadstream doctor` for what to repair"
            )
        case "dead":
            return f"{told.stage} has given it up ({told.reason}): `leadstream dead list --lead {lead_id}`"
        case fate:
            return f"{told.stage} says of it {fate} ({told.reason}): `leadstream status`"


def _what_to_do(flight: Flight, limits: Limits) -> str:
    match flight.outcome, flight.reason:
        case "not-asked", "background":
            said = "little is left of the page's budget, and that belongs to leads"
        case "not-asked", _:
            said = "`leadstream status` tells until when, `leadstream doctor` what to repair"
        case "not-made", _:
            said = "`leadstream doctor` tells what the page's token may; a test lead needs an advertiser's role"
        case "occupied", "young":
            said = (
                f"{flight.lead_id} is younger than {limits.timeout:g} s, so another canary or a person may wait for it;"
                " an older one would be deleted"
            )
        case "occupied", _:
            said = (
                f"{flight.lead_id} has answers that somebody chose, so it is no canary's; delete it with Meta's Lead"
                " Ads Testing Tool, or fly on another form"
            )
        case "unread", _:
            said = "is KAFKA_BOOTSTRAP_SERVERS right, is the cluster up, and do the topics exist (`topics plan`)?"
        case _:
            return ""
    return f": {said}"


def _seconds(times: Times) -> dict[str, float | None]:
    return {stage: times.seconds[stage] for stage in STAGES}


def _iso(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, tz=UTC).isoformat(timespec="milliseconds")


def _clock(at: int) -> str:
    return f"{datetime.fromtimestamp(at / 1000, tz=UTC):%H:%M:%S} UTC"
