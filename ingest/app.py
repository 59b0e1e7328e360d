"""The webhook service, assembled: one process on a listening socket that its parent gave it.

It ends when it is told to, after every open delivery has its answer, or with ProducerFailed when the producer can
promise nothing any more.
"""

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from contextlib import suppress

from aiohttp import web

from ingest import connection, telemetry
from ingest.connection import Connection
from ingest.door import Door
from ingest.kafka import ConfluentProducer, Producer, ProducerFailed
from ingest.records import Topics
from ingest.settings import KafkaSettings, MetaSettings, WebhookSettings
from ingest.views import Views

PATH = "/webhook"
BACKLOG = 1024  # connections the kernel holds while the loop is busy
# What the kernel and aiohttp take of a body before the door counts it, per connection: with asyncio's quarter of a
# megabyte, a few hundred connections that are all refused would hold more than everything that is accepted.
SOCKET_BYTES = 2**16
READ_BYTES = 2**14
BROKER_SECONDS = 1.0  # within which the broker has to answer for us to be ready


class PublicPort:
    """The webhook and nothing else: plain deliveries by connections of our own, all the rest by aiohttp's server."""

    def __init__(self, door: Door, *, drain: float) -> None:
        """`drain` is how many seconds open requests may take when it is told to close."""
        self._door = door
        self._drain = drain
        self.opened: set[Connection] = set()
        self._runner = _ordinary(door, drain=drain)
        self._listening: asyncio.Server | None = None

    async def open(self, sock: socket.socket) -> None:
        await self._runner.setup()
        self._listening = await asyncio.get_running_loop().create_server(
            lambda: Connection(self._door, self._hand_over, self.opened), sock=sock, backlog=BACKLOG
        )

    async def close(self) -> None:
        """Takes nothing new, answers what is open."""
        if self._listening is not None:
            self._listening.close()
        await asyncio.sleep(0)  # what has come is begun, and not taken for idle
        for opened in tuple(self.opened):
            opened.close()
        await asyncio.gather(self._end(), self._runner.cleanup())

    async def _end(self) -> None:
        if self.opened:
            await asyncio.wait([opened.gone for opened in self.opened], timeout=self._drain)
        for late in tuple(self.opened):
            late.abort()

    def _hand_over(self) -> asyncio.Protocol:
        return self._runner.server()  # type: ignore[misc]  # it is there from `setup` to `cleanup`


def _ordinary(door: Door, *, drain: float) -> web.AppRunner:
    views = Views(door)
    app = web.Application()
    app.router.add_get(PATH, views.handshake, allow_head=False)
    app.router.add_post(PATH, views.delivery)
    app.on_response_prepare.append(_say_nothing_of_versions)
    return web.AppRunner(
        app,
        access_log=None,
        logger=_SILENT,
        # A body is signed as it was sent, and a small one must not become a large one in memory.
        auto_decompress=False,
        keepalive_timeout=connection.KEEP_ALIVE_SECONDS,
        lingering_time=connection.LINGER_SECONDS,
        read_bufsize=READ_BYTES,
        shutdown_timeout=drain,
    )


async def serve(
    webhook: WebhookSettings,
    meta: MetaSettings,
    kafka: KafkaSettings,
    *,
    sock: socket.socket,
    stop: asyncio.Event,
    report: Callable[[bool, str], None],
) -> None:
    """Serves on `sock` until `stop` is set; tells `report` about once a second whether the broker answers, and why not.

    Takes `ingest_ack_timeout` seconds and a little more to end. ProducerFailed when it had to end by itself.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BYTES)
    failed = asyncio.Event()
    timeout = webhook.ingest_ack_timeout
    producer = ConfluentProducer(kafka, Topics(prefix=kafka.topic_prefix), timeout=timeout)
    door = Door(webhook, meta, producer, clock=_unix_milliseconds, on_fatal=failed.set)
    port = PublicPort(door, drain=timeout + 1)
    ends = [asyncio.create_task(end) for end in (stop.wait(), failed.wait(), _watch(producer, door, report))]
    try:
        await port.open(sock)
        telemetry.log("info", "door.listening", port=sock.getsockname()[1])
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    finally:
        telemetry.log("info", "door.draining")
        for end in ends:
            end.cancel()
        report(False, "draining")
        await port.close()
        await producer.close(timeout)
    if failed.is_set():
        raise ProducerFailed


async def _watch(producer: Producer, door: Door, report: Callable[[bool, str], None]) -> None:
    while True:
        pause = asyncio.create_task(asyncio.sleep(1))
        answers = await producer.reachable(BROKER_SECONDS)
        report(answers, "" if answers else "the broker does not answer")
        telemetry.BODY_BYTES.set(door.in_flight)
        await pause


async def _say_nothing_of_versions(_: web.Request, response: web.StreamResponse) -> None:
    with suppress(KeyError):
        del response.headers["Server"]


def _unix_milliseconds() -> int:
    return time.time_ns() // 1_000_000


# What aiohttp would log is told by the door itself, or is a stranger's broken HTTP and no news.
_SILENT = logging.getLogger("ingest.silent")
_SILENT.disabled = True
