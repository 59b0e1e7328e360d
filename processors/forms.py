"""A form's snapshot for each lead: that of the lead's time, where it is known.

A form is read once per hour for all its leads, and at once where a lead has answered a question that no known version
has. What that tells goes to `meta.leadgen.forms`; what others have told there is known here. A form that may not be
read costs no lead: its leads go on with what is known of it, or without labels.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol
from weakref import WeakValueDictionary

from ingest import telemetry
from ingest.kafka import Producer
from ingest.meta.errors import GraphError
from ingest.meta.graph import Answer, Snapshot, snapshot
from ingest.meta.pages import PageAccess
from processors import patience
from processors.form_history import FormHistory, Given, News, Version

FRESH_SECONDS = 3600.0
UNREADABLE_SECONDS = 300.0  # a permission may be repaired: not a whole hour of leads without labels
AGAIN_SECONDS = 60.0  # between two readings for the sake of unknown questions
SIZE = 2000

# Meta's words: LeadgenForm.Status in its SDK. Whatever else stands there is no word for a log.
_STATUSES = frozenset({"ACTIVE", "ARCHIVED", "DELETED", "DRAFT"})
_EVENTS: dict[str, telemetry.Event] = {"new": "form.new", "changed": "form.changed", "archived": "form.archived"}


class AsksForms(Protocol):
    async def form(self, form_id: str, page: PageAccess) -> Answer: ...


@dataclass(slots=True)
class _Reading:
    """What came of reading a form. Times are those of `clock`."""

    readable: bool
    until: float
    again_at: float = 0.0  # not before then for the sake of unknown questions
    version: str | None = None
    unexplained: frozenset[str] = frozenset()  # questions that a reading of that version did not show


class Forms:
    """The forms of the leads at hand. `clock` is monotonic seconds, `now` unix milliseconds."""

    def __init__(
        self,
        graph: AsksForms,
        history: FormHistory,
        producer: Producer,
        *,
        clock: Callable[[], float],
        now: Callable[[], int],
    ) -> None:
        self._graph = graph
        self._history = history
        self._producer = producer
        self._clock = clock
        self._now = now
        self._read: OrderedDict[str, _Reading] = OrderedDict()
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def get(self, form_id: str, page: PageAccess, given: Given) -> Snapshot | None:
        """The form as it was when a lead was given on it, as far as is known; None where nothing is.

        What `graph` raises that is no GraphError goes through: the page may not be asked now, and the form can wait.
        """
        if self._is_fresh(form_id):
            found = self._history.version_at(form_id, given)
            if found is not None and found.explains(given):  # as nearly always
                return found.snapshot
        if not self._is_fresh(form_id) or self._may_explain(form_id, given):
            # The leads of a form come together: one of them asks, the others wait for its answer.
            async with self._turns.setdefault(form_id, asyncio.Lock()):
                again = self._is_fresh(form_id)
                if not again or self._may_explain(form_id, given):
                    await self._ask(form_id, page)
                    if again:
                        self._read[form_id].again_at = self._clock() + AGAIN_SECONDS
                    self._give_up(form_id, given)
        found = self._history.version_at(form_id, given)
        return found.snapshot if found else None

    def _is_fresh(self, form_id: str) -> bool:
        reading = self._read.get(form_id)
        return reading is not None and self._clock() < reading.until

    def _may_explain(self, form_id: str, given: Given) -> bool:
        """Whether reading the form again may show a question that was answered and no known version has."""
        unknown = self._unknown(form_id, given)
        reading = self._read.get(form_id)
        if not unknown or reading is None or not reading.readable or self._clock() < reading.again_at:
            return False
        current = self._history.current(form_id)
        return current is None or current.version != reading.version or not unknown <= reading.unexplained

    def _unknown(self, form_id: str, given: Given) -> frozenset[str]:
        likely = self._history.version_at(form_id, given)
        if likely is not None and likely.explains(given):
            return frozenset()
        current = self._history.current(form_id)
        return given.keys.difference(current.keys if current else ())

    def _give_up(self, form_id: str, given: Given) -> None:
        """What the form does not show now is not asked for again, until it has another version."""
        reading, current = self._read.get(form_id), self._history.current(form_id)
        if reading is None or current is None:
            return
        before = reading.unexplained if reading.version == current.version else frozenset()
        reading.version, reading.unexplained = current.version, before | self._unknown(form_id, given)

    async def _ask(self, form_id: str, page: PageAccess) -> None:
        before = self._read.get(form_id)
        reading = before or _Reading(readable=True, until=0.0)
        try:
            answer = await self._answer(form_id, page)
        except GraphError as error:
            telemetry.log("warning", "form.unreadable", form_id=form_id, reason=error.reason)
            reading.readable, reading.until = False, self._clock() + UNREADABLE_SECONDS
        else:
            news = self._history.news(form_id, page.page_id, snapshot(answer.parsed), now=self._now())
            if news is not None:
                # Before any lead that was given on it: whoever reads a lead's form version can look it up.
                await tell(news, self._history, self._producer)
            reading.readable, reading.until = True, self._clock() + FRESH_SECONDS
        self._read[form_id] = reading
        self._read.move_to_end(form_id)
        if len(self._read) > SIZE:
            self._read.popitem(last=False)

    async def _answer(self, form_id: str, page: PageAccess) -> Answer:
        """GraphError when the form may not be read, or not within a few seconds."""
        async for attempt in patience.a_few():
            with attempt:
                return await self._graph.form(form_id, page)
        raise AssertionError("attempts end with an answer or an error")


async def tell(news: News, history: FormHistory, producer: Producer) -> None:
    """To everyone, and then to ourselves: what is known here has been acknowledged."""
    await patience.deliver(producer, news.record)
    history.put(news.version)
    version = news.version
    for kind in news.kinds:
        telemetry.FORM_EVENTS.labels(kind=kind).inc()
        telemetry.log(
            "info",
            _EVENTS[kind],
            form_id=version.form_id,
            page_id=version.page_id,
            version=version.version,
            status=_word(version),
        )


def _word(version: Version) -> str:
    return version.status if version.status in _STATUSES else "other"
