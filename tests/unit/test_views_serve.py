"""The service's life: ready, told to stop, and ended by its own producer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from ingest import app
from ingest.kafka import NotAcknowledged, ProducerFailed
from ingest.settings import KafkaSettings
from tests.door import Broker, Sender, leadgen, listening, meta_settings, post_of, sending_to, webhook_settings

ONE = post_of(leadgen(1))


@dataclass
class Service:
    """What `serve` was given and what it told."""

    sender: Sender
    broker: Broker
    stop: asyncio.Event
    ended: asyncio.Task[None]
    told: asyncio.Queue[tuple[bool, str]]


@dataclass
class Closing(Broker):
    closed: bool = field(default=False)

    async def close(self, timeout: float) -> None:
        self.closed = True


@asynccontextmanager
async def serving(monkeypatch: pytest.MonkeyPatch, broker: Closing) -> AsyncIterator[Service]:
    monkeypatch.setattr(app, "ConfluentProducer", lambda *_, **__: broker)
    sock, stop, told = listening(), asyncio.Event(), asyncio.Queue[tuple[bool, str]]()
    ended = asyncio.create_task(
        app.serve(
            webhook_settings(),
            meta_settings(),
            KafkaSettings(kafka_bootstrap_servers="unused"),
            sock=sock,
            stop=stop,
            report=lambda ready, why: told.put_nowait((ready, why)),
        )
    )
    async with sending_to(*sock.getsockname()) as sender:
        yield Service(sender, broker, stop, ended, told)
        stop.set()
        await asyncio.wait([ended])
    assert broker.closed


def test_it_is_ready_while_the_broker_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with serving(monkeypatch, Closing()) as service:
            assert await service.told.get() == (True, "")

    asyncio.run(scenario())


def test_it_is_not_ready_while_the_broker_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with serving(monkeypatch, Closing(refusal=NotAcknowledged)) as service:
            assert await service.told.get() == (False, "the broker does not answer")

    asyncio.run(scenario())


def test_told_to_stop_it_answers_what_is_open_and_takes_nothing_new(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with serving(monkeypatch, Closing()) as service:
            service.broker.open.clear()
            open_delivery = asyncio.create_task(service.sender.post(ONE))
            await service.broker.asked.wait()
            service.stop.set()
            while (await service.told.get()) != (False, "draining"):
                pass
            with pytest.raises(ConnectionRefusedError):
                await service.sender.connect()
            service.broker.open.set()
            assert (await open_delivery).status == 200
            await service.ended
            assert len(service.broker.records) == 1

    asyncio.run(scenario())


def test_a_producer_that_can_promise_no_more_ends_it_after_the_open_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with serving(monkeypatch, Closing(refusal=ProducerFailed)) as service:
            assert (await service.sender.post(ONE)).status == 503
            with pytest.raises(ProducerFailed):
                await service.ended

    asyncio.run(scenario())
