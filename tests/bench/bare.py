"""The hops of a lead by bare clients that do no work: what the way costs by itself. Run as `bare.py door|fetch|map`.

door answers a POST when the broker has a record with its body; fetch GETs a lead for each record and passes the answer
on; map passes each record on. acks=all and idempotent as ours, nothing lingers, nothing is checked, no offset is kept.
"""

import asyncio
import os
import sys
from collections.abc import Callable

import aiohttp
import confluent_kafka
from aiohttp import web
from uvloop import new_event_loop

_LEAD = b'"leadgen_id":"'
_POLL = 0.001  # seconds between two looks for acknowledgements, as ours
_BROKER = os.environ["KAFKA_BOOTSTRAP_SERVERS"]


def _producer() -> confluent_kafka.Producer:
    return confluent_kafka.Producer(
        {
            "bootstrap.servers": _BROKER,
            "acks": "all",
            "enable.idempotence": True,
            "compression.type": "lz4",
            "linger.ms": 0,
        }
    )


def _consumer() -> confluent_kafka.Consumer:
    consumer = confluent_kafka.Consumer(
        {"bootstrap.servers": _BROKER, "group.id": os.environ["GROUP"], "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([os.environ["IN"]])
    return consumer


def _each(take: Callable[[confluent_kafka.Message], object]) -> None:
    """Every record, as soon as it is there."""
    consumer = _consumer()
    while True:
        message = consumer.poll(1.0)
        if message is not None and message.error() is None:
            take(message)


async def _acknowledge(producer: confluent_kafka.Producer) -> None:
    while True:
        producer.poll(0)
        await asyncio.sleep(_POLL)


async def door() -> None:
    producer, loop, out = _producer(), asyncio.get_running_loop(), os.environ["OUT"]

    async def post(request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        first = body.index(_LEAD) + len(_LEAD)
        key, stored = body[first : body.index(b'"', first)], loop.create_future()
        producer.produce(out, body, key, on_delivery=lambda error, _: stored.set_result(error))
        return web.Response(status=503 if await stored else 200)

    runner = web.ServerRunner(web.Server(post))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(os.environ["PORT"])).start()
    await _acknowledge(producer)


async def fetch() -> None:
    producer, loop, out = _producer(), asyncio.get_running_loop(), os.environ["OUT"]
    url, tasks = os.environ["META_GRAPH_URL"], set()
    async with aiohttp.ClientSession() as session:

        async def ask(key: bytes) -> None:
            async with session.get(f"{url}/v25.0/{key.decode()}") as answer:
                producer.produce(out, await answer.read(), key)

        def begin(message: confluent_kafka.Message) -> None:
            task = loop.create_task(ask(message.key() or b""))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        acknowledging = loop.create_task(_acknowledge(producer))
        await asyncio.to_thread(_each, lambda message: loop.call_soon_threadsafe(begin, message))
        await acknowledging


def map_() -> None:
    producer, out = _producer(), os.environ["OUT"]

    def on(message: confluent_kafka.Message) -> None:
        producer.produce(out, message.value(), message.key())
        producer.poll(0)

    _each(on)


if __name__ == "__main__":
    if sys.argv[1] == "map":
        map_()
    else:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run({"door": door, "fetch": fetch}[sys.argv[1]]())
