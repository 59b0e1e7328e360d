"""A log of every call, so that a test can prove that a page was not called, or a lead not twice."""

from array import array
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field

from deploy.sandbox.graph.shapes import Calls

KEPT = 2_000_000
"""Calls remembered; the oldest half is forgotten beyond it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFilter:
    """Which calls are meant; None is all. Times are unix seconds of the machine's clock, `until` excluded."""

    page: str | None = None
    endpoint: str | None = None
    token: str | None = None
    lead: str | None = None
    since: float | None = None
    until: float | None = None


@dataclass(slots=True)
class _Names:
    """Strings as small numbers."""

    numbers: dict[str, int] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)

    def number(self, name: str) -> int:
        found = self.numbers.get(name)
        if found is None:
            found = self.numbers[name] = len(self.names)
            self.names.append(name)
        return found


class CallLog:
    """Every call: when, what, on which page and lead, with which token, and what came of it.

    A batch is logged as one call of endpoint `batch`, and each of its items as a call of its own with `in_batch`.
    `code` is Graph's error code, 0 for an answer, -1 for a broken one.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget every call."""
        self._names = _Names()
        self._times = array("d")
        self._rows: list[array[int]] = [array("q") for _ in range(6)]

    def add(self, *, at: float, endpoint: str, page: str, lead: str, token: str, code: int, in_batch: bool) -> None:
        """Note one call."""
        number = self._names.number
        self._times.append(at)
        row = (number(endpoint), number(page), int(lead or 0), number(token), code, int(in_batch))
        for column, value in zip(self._rows, row, strict=True):
            column.append(value)
        if len(self._times) > KEPT:
            del self._times[: KEPT // 2]
            for column in self._rows:
                del column[: KEPT // 2]

    def count(self, chosen: CallFilter) -> Calls:
        """How many calls match."""
        by: dict[str, Counter[str]] = {name: Counter() for name in ("endpoint", "page", "token", "code")}
        names, total, batched = self._names.names, 0, 0
        first = last = None
        for place in self._matching(chosen):
            endpoint, page, _, token, code, in_batch = (column[place] for column in self._rows)
            by["endpoint"][names[endpoint]] += 1
            by["page"][names[page]] += 1
            by["token"][names[token]] += 1
            by["code"][str(code)] += 1
            total += 1
            batched += in_batch
            last = self._times[place]
            first = last if first is None else first
        return Calls(
            total=total,
            in_batches=batched,
            first=first,
            last=last,
            by_endpoint=by["endpoint"],
            by_page=by["page"],
            by_token=by["token"],
            by_code=by["code"],
        )

    def leads(self, chosen: CallFilter) -> dict[str, int]:
        """How often each lead was asked for."""
        counter = Counter(self._rows[2][place] for place in self._matching(chosen))
        return {str(lead): times for lead, times in counter.items() if lead}

    def _matching(self, chosen: CallFilter) -> list[int]:
        start = 0 if chosen.since is None else bisect_left(self._times, chosen.since)
        end = len(self._times) if chosen.until is None else bisect_left(self._times, chosen.until)
        numbers = self._names.numbers
        wanted = [
            (column, numbers.get(name, -1))
            for column, name in zip((0, 1, 3), (chosen.endpoint, chosen.page, chosen.token), strict=True)
            if name is not None
        ]
        if chosen.lead is not None:
            wanted.append((2, int(chosen.lead)))
        return [p for p in range(start, end) if all(self._rows[column][p] == value for column, value in wanted)]
