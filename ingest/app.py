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

from ingest import telemetry
from ingest.kafka import ConfluentProducer, Producer, ProducerFailed
from ingest.records import Topics
from ingest.settings import KafkaSettings, MetaSettings, WebhookSettings
from ingest.views import Door

PATH = "/webhook"
BACKLOG = 1024  # connections the kernel holds while the loop is busy
KEEP_ALIVE_SECONDS = 75.0  # also the time a sender has for its headers
LINGER_SECONDS = 2.0  # how long an unread body is thrown away after a refusal, so that the sender sees the answer
# What the kernel and aiohttp take of a body before the door counts it, per connection: with asyncio's quarter of a
# megabyte, a few hundred connections that are all refused would hold more than everything that is accepted.
SOCKET_BYTES = 2**16
READ_BYTES = 2**14
BROKER_SECONDS = 1.0  # within which the broker has to answer for us to be ready


def build_app(door: Door) -> web.Application:
    """The public port: the webhook and nothing else."""
    app = web.Application()
    app.router.add_get(PATH, door.handshake, allow_head=False)
    app.router.add_post(PATH, door.delivery)
    app.on_response_prepare.append(_say_nothing_of_versions)
    return app


def build_runner(app: web.Application, *, drain: float) -> web.AppRunner:
    """How the application is run. `drain` is how many seconds open requests may take when it is told to stop."""
    return web.AppRunner(
        app,
        access_log=None,
        logger=_SILENT,
        # A body is signed as it was sent, and a small one must not become a large one in memory.
        auto_decompress=False,
        keepalive_timeout=KEEP_ALIVE_SECONDS,
        lingering_time=LINGER_SECONDS,
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
    runner = build_runner(build_app(door), drain=timeout + 1)
    ends = [asyncio.create_task(end) for end in (stop.wait(), failed.wait(), _watch(producer, door, report))]
    try:
        await runner.setup()
        await web.SockSite(runner, sock, backlog=BACKLOG).start()
        telemetry.log("info", "door.listening", port=sock.getsockname()[1])
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    finally:
        telemetry.log("info", "door.draining")
        for end in ends:
            end.cancel()
        report(False, "draining")
        await runner.cleanup()
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
