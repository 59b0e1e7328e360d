"""The webhook's two views. A 200 says that the broker has every record of the delivery, and nothing else says it.

What is held is bounded: the memory of all deliveries together by `INGEST_MAX_IN_FLIGHT`, the time of a body by
`BODY_SECONDS`, that of an acknowledgement by `INGEST_ACK_TIMEOUT`. Bytes count as they arrive and not as announced, so
that a sender who announces much and sends little keeps nobody out; once they are read, each record counts besides.
"""

import asyncio
import secrets
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import PurePath

from aiohttp import web
from aiohttp.web_protocol import RequestPayloadError

from ingest import answers, telemetry
from ingest.answers import Refused
from ingest.kafka import NotAcknowledged, Producer, ProducerFailed
from ingest.meta.webhook import (
    SIGNATURE_HEADER,
    Delivery,
    FlatLead,
    NotVerified,
    Unreadable,
    Unsigned,
    handshake,
    read,
    signature,
    verify,
)
from ingest.records import DEAD, OTHER, RAW, UPDATES
from ingest.settings import MetaSettings, WebhookSettings

RECORD_BYTES = 5_000  # measured: what a small change costs while it waits for the broker, mostly beside its bytes
BODY_SECONDS = 5.0  # Meta sends 1000 changes in a fraction of it
TELL_EVERY = 10_000  # milliseconds between two lines about the same thing: a flood must not flood the log


class Door:
    """Takes handshakes and deliveries. `clock` gives unix milliseconds.

    `on_fatal` is called when the producer can promise nothing any more: the process has to end.
    """

    def __init__(
        self,
        webhook: WebhookSettings,
        meta: MetaSettings,
        producer: Producer,
        *,
        clock: Callable[[], int],
        on_fatal: Callable[[], None],
    ) -> None:
        self._verify_token = webhook.meta_verify_token
        self._app_secrets = [app.secret for app in meta.meta_app_secrets]
        self._max_body = webhook.ingest_max_body
        self._max_in_flight = max(webhook.ingest_max_in_flight, self._max_body)  # one body always fits
        self._ack_timeout = webhook.ingest_ack_timeout
        self._producer = producer
        self._clock = clock
        self._on_fatal = on_fatal
        self._tell = _Sparingly(clock)
        self.in_flight = 0  # bytes of deliveries that are arriving or wait for the broker
        self._swells = 1.0  # what the last delivery cost for each byte of its body

    async def handshake(self, request: web.Request) -> web.Response:
        """GET: Meta verifies the callback URL."""
        try:
            challenge = handshake(request.query, self._verify_token)
        except NotVerified as refused:
            self._tell("warning", "door.refused", str(refused))
            return answers.NOT_VERIFIED.response()
        telemetry.log("info", "door.verified")
        # A stranger's words: as text that no browser takes for anything else.
        return web.Response(text=challenge, content_type="text/plain", headers={"X-Content-Type-Options": "nosniff"})

    async def delivery(self, request: web.Request) -> web.Response:
        """POST: Meta delivers changes."""
        try:
            await self._take(request)
        except Refused as refused:
            return self._refuse(refused.answer, str(refused))
        except (Unsigned, Unreadable, FlatLead) as refused:
            return self._refuse(answers.WHY[type(refused)], str(refused) or "flat")
        except Exception as defect:  # noqa: BLE001  told by name and place only, and Meta sends again
            _DELIVERIES[answers.DEFECT.status].inc()
            self._tell("error", "door.defect", f"{type(defect).__name__} at {_place(defect)}")
            return answers.DEFECT.response()
        _DELIVERIES[200].inc()
        return web.Response()

    async def _take(self, request: web.Request) -> None:
        claimed = self._admit(request)
        chunks: list[bytes] = []
        try:
            await self._receive(request, chunks)
            body = b"".join(chunks)
            verify(claimed, body, self._app_secrets)
            delivery = read(body, delivery=secrets.token_hex(8), received_at=self._clock())
            with self._room_for(delivery, len(body)):
                await self._deliver(delivery)
        finally:
            self.in_flight -= sum(map(len, chunks))
        self._account(delivery)

    @contextmanager
    def _room_for(self, delivery: Delivery, size: int) -> Iterator[None]:
        """What its records cost is known only now. A delivery alone always fits: else it would never be taken."""
        cost = RECORD_BYTES * len(delivery.records)
        self._swells = 1 + cost / max(size, 1)
        if self.in_flight > size and self.in_flight + cost > self._max_in_flight:
            raise Refused(answers.SATURATED, "saturated")
        self.in_flight += cost
        try:
            yield
        finally:
            self.in_flight -= cost

    def _admit(self, request: web.Request) -> bytes:
        """The claimed signature of a delivery whose body may be read; nothing has been read of it yet."""
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise Refused(answers.ENCODED, "encoded")
        claimed = signature(request.headers.get(SIGNATURE_HEADER))
        announced = request.content_length
        expected = self._max_body if announced is None else announced
        if expected > self._max_body:
            raise Refused(answers.TOO_LARGE, "too-large")
        # Refused here, it costs nothing more; once it was read, the work is done for nothing, and others wait for it.
        if self.in_flight and self.in_flight + expected * self._swells > self._max_in_flight:
            raise Refused(answers.SATURATED, "saturated")
        return claimed

    async def _receive(self, request: web.Request, chunks: list[bytes]) -> None:
        size = 0
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for chunk in request.content.iter_any():
                    chunks.append(chunk)
                    size += len(chunk)
                    self.in_flight += len(chunk)
                    if size > self._max_body:
                        raise Refused(answers.TOO_LARGE, "too-large")
                    if self.in_flight > self._max_in_flight:
                        raise Refused(answers.SATURATED, "saturated")
        except TimeoutError:
            raise Refused(answers.TOO_SLOW, "too-slow") from None
        except (ConnectionError, RequestPayloadError):
            raise Refused(answers.GONE, "gone") from None

    async def _deliver(self, delivery: Delivery) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(self._ack_timeout):
                await self._producer.deliver(delivery.records)
        except TimeoutError:
            raise Refused(answers.NOT_ACKNOWLEDGED, "timeout") from None
        except NotAcknowledged as error:
            raise Refused(answers.NOT_ACKNOWLEDGED, str(error)) from None
        except ProducerFailed:
            self._on_fatal()
            raise Refused(answers.NOT_ACKNOWLEDGED, "producer-failed") from None
        telemetry.ACKNOWLEDGE_SECONDS.observe(loop.time() - began)

    def _refuse(self, answer: answers.Answer, reason: str) -> web.Response:
        _DELIVERIES[answer.status].inc()
        event: telemetry.Event = "door.not-acknowledged" if answer is answers.NOT_ACKNOWLEDGED else "door.refused"
        self._tell("warning", event, reason)
        return answer.response()

    def _account(self, delivery: Delivery) -> None:
        """What was acknowledged, once: a delivery that was refused comes again."""
        for topic, changes in Counter(record.topic for record in delivery.records).items():
            _CHANGES[topic].inc(changes)
        for reason in delivery.dead:
            telemetry.DEAD_LETTERS.labels(stage="ingest", reason=reason).inc()
        if delivery.samples:
            telemetry.SAMPLES.inc(delivery.samples)
        if delivery.values_switched_off:
            telemetry.VALUES_SWITCHED_OFF.inc(delivery.values_switched_off)
            self._tell("error", "door.values-switched-off", "changed-fields")


class _Sparingly:
    """Logs a repeated thing once in `TELL_EVERY`, with how often it happened since the last line."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._told: dict[tuple[telemetry.Event, str], tuple[int, int]] = {}  # when, and how often since

    def __call__(self, level: telemetry.Level, event: telemetry.Event, reason: str) -> None:
        now = self._clock()
        when, untold = self._told.get((event, reason), (now - TELL_EVERY, 0))
        if abs(now - when) < TELL_EVERY:
            self._told[event, reason] = (when, untold + 1)
            return
        self._told[event, reason] = (now, 0)
        telemetry.log(level, event, reason=reason, times=untold + 1)


def _place(defect: Exception) -> str:
    frame = traceback.extract_tb(defect.__traceback__)[-1]
    return f"{PurePath(frame.filename).name}:{frame.lineno}"


# Looked up once: a label costs more than a count.
_DELIVERIES = {status: telemetry.DELIVERIES.labels(status=str(status)) for status in answers.STATUSES}
_CHANGES = {topic: telemetry.CHANGES.labels(topic=topic) for topic in (RAW, UPDATES, OTHER, DEAD)}
