"""What can be made to go wrong: which calls a fault meets, and what becomes of them."""

import random
from dataclasses import dataclass, field

from deploy.sandbox.graph.call import Answer, refused
from deploy.sandbox.graph.errors import refusal
from deploy.sandbox.graph.shapes import Fault, Latency

HTML = (
    "<!DOCTYPE html>\n<html><head><title>Error</title></head><body><h1>Sorry, something went wrong.</h1>"
    "<p>We're working on getting this fixed as soon as we can.</p></body></html>"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What a fault's filters are held against; ids are empty where a call has none."""

    endpoint: str
    app: str
    page: str
    form: str
    lead: str
    token: str
    in_batch: bool


@dataclass(slots=True)
class _Active:
    fault: Fault
    left: int | None
    met: int = 0


@dataclass(slots=True)
class Faults:
    """The faults in force and the latency of every endpoint."""

    chance: random.Random
    _active: dict[int, _Active] = field(default_factory=dict)
    _latencies: dict[str | None, Latency] = field(default_factory=dict)
    _given: int = 0

    @property
    def any(self) -> bool:
        """False while nothing can go wrong."""
        return bool(self._active)

    def set_fault(self, fault: Fault) -> int:
        """Put a fault in force and return its number."""
        self._given += 1
        self._active[self._given] = _Active(fault, fault.calls)
        return self._given

    def lift(self, number: int | None) -> int:
        """Lift one fault, or all; how many calls they met."""
        numbers = [number] if number is not None else list(self._active)
        return sum(lifted.met for n in numbers if (lifted := self._active.pop(n, None)) is not None)

    def met(self, number: int) -> int:
        """How many calls a fault in force has met so far."""
        return self._active[number].met

    def set_latency(self, latency: Latency) -> None:
        """Set the latency of an endpoint, or of all (endpoint None) that have none of their own."""
        self._latencies[latency.endpoint] = latency

    def clear(self) -> None:
        """No faults, no latency."""
        self._active.clear()
        self._latencies.clear()

    def latency(self, endpoint: str) -> float:
        """Seconds this call takes."""
        if not self._latencies:
            return 0.0
        latency = self._latencies.get(endpoint) or self._latencies.get(None)
        return latency.seconds + self.chance.random() * latency.jitter if latency else 0.0

    def find(self, met: Circumstances) -> Fault | None:
        """The fault this call meets, if any; that counts as one of its calls. The newest wins."""
        for number in reversed(self._active):
            active = self._active[number]
            if active.left == 0 or not _meets(active.fault, met):
                continue
            if active.fault.share >= 1 or self.chance.random() < active.fault.share:
                active.met += 1
                if active.left is not None:
                    active.left -= 1
                return active.fault
        return None


def _meets(fault: Fault, met: Circumstances) -> bool:
    if fault.kind == "null" and not met.in_batch:
        return False
    pairs = (
        (fault.endpoint, met.endpoint),
        (fault.app, met.app),
        (fault.page, met.page),
        (fault.form, met.form),
        (fault.lead, met.lead),
        (fault.token, met.token),
    )
    return all(wanted is None or wanted == found for wanted, found in pairs)


def replaced_answer(fault: Fault, object_id: str) -> Answer | None:  # noqa: PLR0911 - one answer for each kind
    """The answer a fault gives instead of the real one; None when the real one is given and then spoiled."""
    match fault.kind:
        case "error":
            answer = refused(refusal(fault.code, fault.subcode, object_id=object_id))
            answer.status = fault.status or answer.status
            return answer
        case "status":
            return Answer(status=fault.status or 503, body=fault.body, content_type="text/plain", code=-1)
        case "html":
            return Answer(status=fault.status or 502, body=HTML, content_type="text/html", code=-1)
        case "empty":
            return Answer(status=fault.status or 200, body="", code=-1)
        case "unavailable":
            return Answer(status=200, body="Service Unavailable", content_type="text/plain", code=-1)
        case "hang" | "reset" | "null":
            return Answer(status=0, body="", breaks=fault.kind, code=-1)
        case "truncated" | "short" | "headers":
            return None


def spoil(fault: Fault, answer: Answer) -> None:
    """Damage an answer the way the fault says; headers change whatever the kind."""
    for name, value in fault.headers.items():
        if value is None:
            answer.headers.pop(name.lower(), None)
        else:
            answer.headers[name.lower()] = value
    if fault.kind == "truncated":
        answer.body = answer.body[: len(answer.body) // 2]
        answer.code = -1
    elif fault.kind == "short":
        answer.breaks = "short"
        answer.code = -1
