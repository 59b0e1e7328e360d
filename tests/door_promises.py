"""What holds at the door whatever its producer is: run against the double and against a real broker."""

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from ingest.meta.notification import Notification
from ingest.records import DEAD, OTHER, RAW, UPDATES, Headers, header
from tests.door import Sender, leadgen, post_of

LEAD = 55459717045641545


class Kept(Protocol):
    """A record where it lies, in a broker or in a list."""

    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Headers: ...


class World(Protocol):
    """A door, a sender in front of it and a broker behind it."""

    sender: Sender

    async def kept(self, topic: str) -> Sequence[Kept]:
        """Everything that the broker has of a topic; in order within a key."""
        ...

    async def stop_broker(self) -> None: ...
    async def start_broker(self) -> None: ...


class DoorPromises(ABC):
    @abstractmethod
    def world(self) -> AbstractAsyncContextManager[World]:
        """A world of the test's own."""

    def test_each_change_of_an_accepted_delivery_is_on_its_topic(self) -> None:
        async def scenario(world: World) -> None:
            update = {"field": "leadgen_update", "value": {"leadgen_id": LEAD}}
            body = post_of(leadgen(LEAD), update, {"field": "feed"}, "not a change")
            assert (await world.sender.post(body)).status == 200
            (raw,) = await world.kept(RAW)
            (updated,) = await world.kept(UPDATES)
            (other,) = await world.kept(OTHER)
            (dead,) = await world.kept(DEAD)
            assert (raw.key, updated.key) == (b"153125381133", str(LEAD).encode())
            assert (other.value, dead.value) == (b'{"field":"feed"}', b'"not a change"')
            assert header(dead.headers, "fate-reason") == "change-not-an-object"
            assert header(raw.headers, "delivery") == header(dead.headers, "delivery")
            assert header(raw.headers, "source") == "webhook"
            assert header(raw.headers, "entry-time") == "1728000001"

        self._play(scenario)

    def test_a_lead_is_kept_byte_for_byte(self) -> None:
        change = r'{"field" :"leadgen", "value":{"leadgen_id":55459717045641545,"page_id":1,"x":"\u00e4\/\ud800",'
        change += r' "new":[1.10, 18446744073709551617]}}'

        async def scenario(world: World) -> None:
            body = f'{{"object":"page","entry":[{{"id":"1","time":1,"changes":[{change}]}}]}}'
            assert (await world.sender.post(body.encode())).status == 200
            (raw,) = await world.kept(RAW)
            assert raw.value == change.encode()
            assert Notification.read(raw.value).lead_id == str(LEAD)

        self._play(scenario)

    def test_a_thousand_changes_of_several_pages_arrive_in_the_order_of_each_page(self) -> None:
        pages = {page: [leadgen(1000 * page + lead, page) for lead in range(200)] for page in range(1, 6)}
        entries = [{"id": str(page), "time": 1, "changes": changes} for page, changes in pages.items()]

        async def scenario(world: World) -> None:
            body = json.dumps({"object": "page", "entry": entries}).encode()
            assert (await world.sender.post(body)).status == 200
            kept = await world.kept(RAW)
            for page, changes in pages.items():
                of_page = [json.loads(record.value or b"") for record in kept if record.key == str(page).encode()]
                assert of_page == changes

        self._play(scenario)

    def test_what_is_refused_leaves_nothing(self) -> None:
        async def scenario(world: World) -> None:
            assert (await world.sender.post(post_of(leadgen(LEAD)), {})).status == 401
            assert (await world.sender.post(post_of(leadgen(LEAD))[:-1])).status == 400
            assert await world.kept(RAW) == []

        self._play(scenario)

    def test_without_a_broker_nothing_is_accepted_and_with_it_again_all_is(self) -> None:
        """What was answered 503 may be there all the same, once; Meta sends it again, and duplicates do no harm."""

        async def scenario(world: World) -> None:
            assert (await world.sender.post(post_of(leadgen(1)))).status == 200
            await world.stop_broker()
            loop = asyncio.get_running_loop()
            began = loop.time()
            refused = await asyncio.gather(*(world.sender.post(post_of(leadgen(lead))) for lead in range(2, 12)))
            assert {answer.status for answer in refused} == {503}
            assert loop.time() - began < 6
            await world.start_broker()
            while (await world.sender.post(post_of(leadgen(12)))).status != 200:
                pass  # the same sender, the same door
            leads = [Notification.read(record.value or b"").lead_id for record in await world.kept(RAW)]
            assert {"1", "12"} <= set(leads) <= {str(lead) for lead in range(1, 13)}

        self._play(scenario)

    def _play(self, scenario: "Scenario") -> None:
        async def run() -> None:
            async with self.world() as world:
                await scenario(world)

        asyncio.run(asyncio.wait_for(run(), 120))


class Scenario(Protocol):
    async def __call__(self, world: World) -> None: ...
