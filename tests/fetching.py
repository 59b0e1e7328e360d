"""The step of `work fetch` with all that decides, over a Meta and a broker that are doubles."""

import asyncio
import json
from collections.abc import Sequence

from pydantic import SecretStr

from ingest.codec import Codec
from ingest.meta.errors import GraphError
from ingest.meta.graph import Answer, Snapshot, Usage
from ingest.meta.pages import PageAccess
from ingest.records import AGAIN, FATES, RAW, Received, Record
from processors.access import AccessStates
from processors.asking import Asking
from processors.failures import Ladder
from processors.fetch import Fetch
from processors.form_history import Given
from processors.governor import Governor
from processors.limit import Limit
from processors.recent import RecentLeads
from schemas.shapes import LeadDetails
from tests.doubles import Broker

PAGE = PageAccess(page_id="153125381133", token=SecretStr("token-of-the-page"))
LEAD = "55459717045641545"
FORM = "12312312312"
NOW = 1_795_000_000_000


class Meta:
    """Meta, with the errors it gives before it answers."""

    def __init__(self, *errors: GraphError) -> None:
        self.errors = list(errors)
        self.asked: list[Sequence[str]] = []
        self.gate: asyncio.Event | None = None

    async def lead(self, lead_id: str, page: PageAccess, *, fields: Sequence[str]) -> Answer:
        self.asked.append(fields)
        if self.gate is not None:
            await self.gate.wait()
        if self.errors:
            raise self.errors.pop(0)
        body = f'{{"id": "{lead_id}",  "form_id":"{FORM}"}}'
        return Answer(body=body, parsed=json.loads(body), version="v25.0", usage=Usage())

    async def leads_batch(
        self, wanted: Sequence[tuple[str, PageAccess]], *, fields: Sequence[str]
    ) -> tuple[Answer | GraphError, ...]:
        return tuple([await self.lead(lead_id, page, fields=fields) for lead_id, page in wanted])

    async def form(self, form_id: str, page: PageAccess) -> Answer:
        raise AssertionError("forms have a double of their own")


class NoForms:
    async def get(self, form_id: str, page: PageAccess, given: Given) -> Snapshot | None:
        return None


class OneForm:
    async def get(self, form_id: str, page: PageAccess, given: Given) -> Snapshot | None:
        return Snapshot(text='{"id":"1"}', version="v" * 64)


class Tokens:
    def __init__(self, page: PageAccess | None = PAGE, others: Sequence[PageAccess] = ()) -> None:
        self.page = page
        self.others = others

    def get(self, page_id: str) -> PageAccess | None:
        return self.page

    def all(self) -> Sequence[PageAccess]:
        return [PAGE, *self.others]


class ManyTokens(Tokens):
    def __init__(self, pages: Sequence[PageAccess]) -> None:
        self.pages = {page.page_id: page for page in pages}

    def get(self, page_id: str) -> PageAccess | None:
        return self.pages.get(page_id)

    def all(self) -> Sequence[PageAccess]:
        return list(self.pages.values())


CODEC: Codec[LeadDetails] = Codec("LeadDetails", schema_id=1)


class Worker:
    """A step with all that decides, over a Meta and a broker that are doubles, and a clock that the test moves."""

    def __init__(
        self,
        *errors: GraphError,
        tokens: Tokens | None = None,
        forms: NoForms | OneForm | None = None,
        broker: Broker | None = None,
    ) -> None:
        self.now = NOW
        self.paused: list[float] = []
        self.over = asyncio.Event()  # a pause
        self.broker = broker or Broker()
        self.meta = Meta(*errors)
        self.states = AccessStates(secret=SecretStr("app secret"), clock=lambda: self.now)
        self.governor = Governor(self.states, clock=lambda: self.now, quiet_ms=60_000)
        self.step = Fetch(
            asking=Asking(graph=self.meta, governor=self.governor, producer=self.broker, concurrency=4),
            governor=self.governor,
            pages=tokens or Tokens(),
            forms=forms or NoForms(),
            producer=self.broker,
            codec=CODEC,
            recent=RecentLeads(size=10, seconds=60, clock=lambda: 0.0),
            ladder=Ladder(delays=(60.0, 600.0, 3600.0)),
            limit=Limit(worker="fetch", per_minute=100, clock=lambda: 0.0),
            window=8,
            clock=lambda: self.now,
            pause=self.pause,
        )

    async def pause(self, seconds: float) -> None:
        self.paused.append(seconds)
        if self.over.is_set():
            self.now += round(seconds * 1000)
        await self.over.wait()

    def run(self, *records: Received) -> Broker:
        async def scenario() -> None:
            for record in records:
                await self.step.run(record)

        asyncio.run(scenario())
        return self.broker

    def fates(self) -> list[tuple[str, str]]:
        told = [json.loads(record.value) for record in self.broker.on(FATES) if record.value is not None]
        return [(fate["fate"], fate["reason"]) for fate in told]


def notified(
    offset: int = 7, *, topic: str = RAW, lead_id: object = LEAD, created_time: int = NOW // 1000, **more: object
) -> Received:
    value = {"leadgen_id": lead_id, "page_id": 153125381133, "form_id": FORM, "created_time": created_time} | more
    return Received(
        topic=topic,
        partition=2,
        offset=offset,
        key=b"153125381133",
        value=json.dumps({"field": "leadgen", "value": value}).encode(),
        headers=(("source", b"webhook"), ("delivery", b"d-1"), ("received-at", str(NOW).encode()), ("entry-id", b"1")),
        timestamp=NOW,
    )


def came_back(record: Record) -> Received:
    """A record that waited, as `work fetch` reads it again."""
    return Received(
        topic=AGAIN, partition=0, offset=3, key=record.key, value=record.value, headers=record.headers, timestamp=NOW
    )
