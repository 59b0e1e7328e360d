"""A form's snapshot for each lead: read once per form and hour, told to `meta.leadgen.forms` when it is new or changed.

A form that may not be read costs no lead: its leads go on without labels.
"""

import asyncio
import json
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ingest import telemetry
from ingest.kafka import Producer
from ingest.meta.errors import GraphError
from ingest.meta.graph import Answer, Snapshot, snapshot
from ingest.meta.pages import PageAccess
from ingest.records import FORMS, Record
from processors import patience

FRESH_SECONDS = 3600.0
UNREADABLE_SECONDS = 300.0  # a permission may be repaired: not a whole hour of leads without labels
SIZE = 2000


class AsksForms(Protocol):
    async def form(self, form_id: str, page: PageAccess) -> Answer: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    snapshot: Snapshot | None
    until: float


class Forms:
    """The forms of the leads at hand. `clock` is monotonic seconds, `now` unix milliseconds."""

    def __init__(
        self, graph: AsksForms, producer: Producer, *, clock: Callable[[], float], now: Callable[[], int]
    ) -> None:
        self._graph = graph
        self._producer = producer
        self._clock = clock
        self._now = now
        self._read: OrderedDict[str, _Read] = OrderedDict()
        self._reading: dict[str, asyncio.Lock] = {}
        self._told: dict[str, str] = {}

    async def get(self, form_id: str, page: PageAccess) -> Snapshot | None:
        """The form as it is now (or was within the hour); None when it may not be read.

        What `graph` raises that is no GraphError goes through: the page may not be asked now, and the form can wait.
        """
        known = self._fresh(form_id)
        if known is None:
            # The leads of a form come together: one of them asks, the others wait for its answer.
            async with self._reading.setdefault(form_id, asyncio.Lock()):
                known = self._fresh(form_id) or await self._ask(form_id, page)
            self._reading.pop(form_id, None)
        return known.snapshot

    def _fresh(self, form_id: str) -> _Read | None:
        known = self._read.get(form_id)
        return known if known is not None and self._clock() < known.until else None

    async def _ask(self, form_id: str, page: PageAccess) -> _Read:
        try:
            answer = await self._answer(form_id, page)
        except GraphError as error:
            telemetry.log("warning", "form.unreadable", form_id=form_id, reason=error.reason)
            read = _Read(snapshot=None, until=self._clock() + UNREADABLE_SECONDS)
        else:
            found = snapshot(answer.parsed)
            await self._tell(form_id, page, found)
            read = _Read(snapshot=found, until=self._clock() + FRESH_SECONDS)
        self._read[form_id] = read
        self._read.move_to_end(form_id)
        if len(self._read) > SIZE:
            forgotten, _ = self._read.popitem(last=False)
            self._told.pop(forgotten, None)
        return read

    async def _answer(self, form_id: str, page: PageAccess) -> Answer:
        """GraphError when the form may not be read, or not within a few seconds."""
        async for attempt in patience.a_few():
            with attempt:
                return await self._graph.form(form_id, page)
        raise AssertionError("attempts end with an answer or an error")

    async def _tell(self, form_id: str, page: PageAccess, found: Snapshot) -> None:
        """Before any lead that was given on this form: whoever reads a lead's form version can look it up."""
        before = self._told.get(form_id)
        if before == found.version:
            return
        value = {
            "form_id": form_id,
            "version": found.version,
            "page_id": page.page_id,
            "seen_at": self._now(),
            "form": json.loads(found.text),
        }
        key = f"{form_id}@{found.version}".encode()
        await patience.deliver(self._producer, Record(topic=FORMS, key=key, value=json.dumps(value).encode()))
        self._told[form_id] = found.version
        if before is not None:  # a worker that has just started has not seen it before, which is no news
            telemetry.log("info", "form.changed", form_id=form_id, version=found.version)
