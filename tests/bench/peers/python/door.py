"""A webhook as one writes it by hand, with aiohttp and confluent-kafka: a 200 only when the broker has every change.

What a good engineer makes of both libraries' documentation: the synchronous producer with a thread that polls it, and
one future for each POST, which the last of its delivery reports resolves. Started with `uvloop`, it runs on that loop.
"""

import asyncio
import hmac
import os
import secrets
import sys
import threading
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import confluent_kafka
import orjson
from aiohttp import web

Headers = list[tuple[str, str | bytes | None]]  # as confluent-kafka has it


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One record to be: the page's id, the change as JSON, what is said of it."""

    key: bytes
    value: bytes
    headers: Headers


class Outbox:
    """An idempotent producer behind `await`."""

    def __init__(self, servers: str, topic: str) -> None:
        self._topic = topic
        self._producer = confluent_kafka.Producer(
            {
                "bootstrap.servers": servers,
                "acks": "all",
                "enable.idempotence": True,
                "compression.type": "lz4",
                "message.timeout.ms": 10_000,
            }
        )
        self._closing = False
        self._poller = threading.Thread(target=self._poll, daemon=True)
        self._poller.start()

    async def send(self, changes: Sequence[Change]) -> None:
        """Returns when all are acknowledged; KafkaException or BufferError otherwise."""
        loop = asyncio.get_running_loop()
        acknowledged = loop.create_future()
        left = len(changes)

        def finish(error: confluent_kafka.KafkaError | None) -> None:
            if acknowledged.done():
                return
            if error is None:
                acknowledged.set_result(None)
            else:
                acknowledged.set_exception(confluent_kafka.KafkaException(error))

        def settle(error: confluent_kafka.KafkaError | None, _: object) -> None:  # in the thread that polls
            nonlocal left
            left -= 1
            if error is not None or left == 0:
                loop.call_soon_threadsafe(finish, error)

        for change in changes:
            self._producer.produce(
                self._topic, value=change.value, key=change.key, headers=change.headers, on_delivery=settle
            )
        if changes:
            await acknowledged

    def close(self) -> None:
        self._producer.flush(10)
        self._closing = True
        self._poller.join()

    def _poll(self) -> None:
        while not self._closing:
            self._producer.poll(0.1)


class Webhook:
    """The one view."""

    def __init__(self, secret: str, outbox: Outbox) -> None:
        self._secret = secret.encode()
        self._outbox = outbox

    async def post(self, request: web.Request) -> web.Response:
        body = await request.read()
        expected = "sha256=" + hmac.digest(self._secret, body, "sha256").hex()
        if not hmac.compare_digest(expected.encode(), request.headers.get("X-Hub-Signature-256", "").encode()):
            return web.Response(status=401)
        try:
            changes = read(orjson.loads(body))
        except (ValueError, KeyError, TypeError):
            return web.Response(status=400)
        try:
            await self._outbox.send(changes)
        except (confluent_kafka.KafkaException, BufferError):
            return web.Response(status=503)
        return web.Response()


def read(document: Any) -> list[Change]:
    """A record for each change of a delivery; KeyError or TypeError where it is of another shape."""
    common: Headers = [
        ("source", b"webhook"),
        ("delivery", secrets.token_hex(8).encode()),
        ("received-at", str(time.time_ns() // 1_000_000).encode()),
    ]
    changes = []
    for entry in document["entry"]:
        told = [*common, ("entry-id", entry["id"].encode()), ("entry-time", str(entry["time"]).encode())]
        changes += [
            Change(key=change["value"]["page_id"].encode(), value=orjson.dumps(change), headers=told)
            for change in entry["changes"]
        ]
    return changes


def build(outbox: Outbox, secret: str) -> web.Application:
    async def lifetime(_: web.Application) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(outbox.close)

    app = web.Application(client_max_size=8 * 2**20)
    app.router.add_post("/webhook", Webhook(secret, outbox).post)
    app.cleanup_ctx.append(lifetime)
    return app


def main() -> None:
    loop = asyncio.new_event_loop()
    if sys.argv[1:] == ["uvloop"]:
        import uvloop  # noqa: PLC0415  only the peer's own environment has it

        loop = uvloop.new_event_loop()
    outbox = Outbox(os.environ["KAFKA_BOOTSTRAP_SERVERS"], os.environ["TOPIC"])
    web.run_app(
        build(outbox, os.environ["APP_SECRET"]),
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        access_log=None,
        print=None,
        shutdown_timeout=5,
        loop=loop,
    )


if __name__ == "__main__":
    main()
