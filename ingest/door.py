"""What is done with a delivery, whichever way it came in. A 200 says that the broker has every record of it.

What is held is bounded: the memory of all deliveries together by `INGEST_MAX_IN_FLIGHT`, the time of a body by
`BODY_SECONDS`, that of an acknowledgement by `INGEST_ACK_TIMEOUT`. Bytes count as they arrive and not as announced, so
that a sender who announces much and sends little keeps nobody out; once they are read, each record counts besides.
"""

import asyncio
import secrets
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from pathlib import PurePath
from typing import Protocol

from ingest import answers, telemetry
from ingest.answers import Answer, Refused
from ingest.kafka import NotAcknowledged, ProducerFailed
from ingest.meta.webhook import Delivery, FlatLead, Unreadable, Unsigned, read, verify
from ingest.records import Record
from ingest.settings import MetaSettings, WebhookSettings
from ingest.tally import Sparingly, Tally, Told

RECORD_BYTES = 5_000  # measured: what a small change costs beside its bytes; less when only librdkafka still has it
BODY_SECONDS = 5.0  # Meta sends 1000 changes in a fraction of it

# Called once: with None for a 200, else with what the sender is told.
Answering = Callable[[Answer | None], None]


class Sending(Protocol):
    """What the door needs of a producer."""

    def send(self, records: Sequence[Record], settled: Callable[[Exception | None], None]) -> None:
        """`settled` is called once: with None when the broker has acknowledged every record, else with why not.

        NotAcknowledged and ProducerFailed are the outcomes of a producer; anything else is a defect.
        """
        ...


class Door:
    """Takes deliveries. `clock` gives unix milliseconds.

    `on_fatal` is called when the producer can promise nothing any more: the process has to end.
    """

    def __init__(
        self,
        webhook: WebhookSettings,
        meta: MetaSettings,
        producer: Sending,
        *,
        clock: Callable[[], int],
        on_fatal: Callable[[], None],
    ) -> None:
        self.verify_token = webhook.meta_verify_token
        self._app_secrets = [app.secret for app in meta.meta_app_secrets]
        self._max_body = webhook.ingest_max_body
        self._max_in_flight = max(webhook.ingest_max_in_flight, self._max_body)  # one body always fits
        self._ack_timeout = webhook.ingest_ack_timeout
        self._producer = producer
        self._clock = clock
        self._on_fatal = on_fatal
        self._tally = Tally()
        self.tell = Sparingly(clock)
        # Names of deliveries, from anywhere on: random ones are a call of the system each.
        self._numbers = count(secrets.randbits(63))
        self.in_flight = 0  # bytes of deliveries that are arriving or wait for the broker
        self._swells = 1.0  # what the last delivery cost for each byte of its body
        self._waiting: deque[_Waiting] = deque()  # for the broker, in the order they came
        self._timer: asyncio.TimerHandle | None = None  # the first of them is given up

    def admit(self, announced: int | None) -> None:
        """Returns when a body of that many bytes may be read; Refused otherwise. Nothing has been read of it yet."""
        expected = self._max_body if announced is None else announced
        if expected > self._max_body:
            raise Refused(answers.TOO_LARGE, "too-large")
        # Refused here, it costs nothing more; once it was read, the work is done for nothing, and others wait for it.
        if self.in_flight and self.in_flight + expected * self._swells > self._max_in_flight:
            raise Refused(answers.SATURATED, "saturated")

    def arrived(self, chunk: int, *, size: int) -> None:
        """Counts bytes of a body that is `size` bytes with them; Refused when it is too much of them."""
        self.in_flight += chunk
        if size > self._max_body:
            raise Refused(answers.TOO_LARGE, "too-large")
        if self.in_flight > self._max_in_flight:
            raise Refused(answers.SATURATED, "saturated")

    def left(self, size: int) -> None:
        """Counts off the bytes of a body that did not arrive whole."""
        self.in_flight -= size

    def take(self, claimed: bytes, body: bytes, answering: Answering) -> None:
        """Delivers a whole body, all of which was counted by `arrived`; it is counted off by the time of the answer."""
        size = len(body)
        try:
            verify(claimed, body, self._app_secrets)
            delivery = read(body, delivery=f"{next(self._numbers):016x}", received_at=self._clock())
            cost = self._room_for(delivery, size)
        except (Refused, Unsigned, Unreadable, FlatLead) as refused:
            self.in_flight -= size
            answering(self.refuse(refused))
            return
        except Exception as defect:  # noqa: BLE001  told by name and place only, and Meta sends again
            self.in_flight -= size
            answering(self.fail(defect))
            return
        now = asyncio.get_running_loop().time()
        waiting = _Waiting(Told(delivery), size + cost, answering, now)
        self.in_flight += cost
        self._waiting.append(waiting)
        self._watch(now)
        try:
            self._producer.send(delivery.records, partial(self._settled, waiting))
        except Exception as defect:  # noqa: BLE001  as above
            self._settled(waiting, defect)

    def refuse(self, refused: Exception) -> Answer:
        """What is told to the sender of a delivery that is Refused, Unsigned, Unreadable or a FlatLead."""
        answer = refused.answer if isinstance(refused, Refused) else answers.WHY[type(refused)]
        self._tally.refused(answer)
        event: telemetry.Event = "door.not-acknowledged" if answer is answers.NOT_ACKNOWLEDGED else "door.refused"
        self.tell("warning", event, str(refused) or "flat")
        return answer

    def fail(self, defect: BaseException) -> Answer:
        """What is told to the sender where we have a defect."""
        self._tally.refused(answers.DEFECT)
        self.tell("error", "door.defect", f"{type(defect).__name__} at {_place(defect)}")
        return answers.DEFECT

    def _room_for(self, delivery: Delivery, size: int) -> int:
        """What its records cost is known only now. A delivery alone always fits: else it would never be taken."""
        cost = RECORD_BYTES * len(delivery.records)
        self._swells = 1 + cost / max(size, 1)
        if self.in_flight > size and self.in_flight + cost > self._max_in_flight:
            raise Refused(answers.SATURATED, "saturated")
        return cost

    def _settled(self, waiting: "_Waiting", error: Exception | None) -> None:
        delivery, answering = waiting.delivery, waiting.answering
        if delivery is None or answering is None:
            return  # the answer was given when its time was over
        self.in_flight -= waiting.held
        waiting.delivery = waiting.answering = None
        while self._waiting and self._waiting[0].answering is None:
            self._waiting.popleft()
        if error is None:
            self._tally.acknowledged(delivery, asyncio.get_running_loop().time() - waiting.since)
            if delivery.values_switched_off:
                self.tell("error", "door.values-switched-off", "changed-fields")
            answering(None)
            return
        match error:
            case Refused():
                answering(self.refuse(error))
            case NotAcknowledged():
                answering(self.refuse(Refused(answers.NOT_ACKNOWLEDGED, str(error))))
            case ProducerFailed():
                self._on_fatal()
                answering(self.refuse(Refused(answers.NOT_ACKNOWLEDGED, "producer-failed")))
            case _:
                answering(self.fail(error))

    def _watch(self, now: float) -> None:
        """One timer for all: who came first is the first whose time is over."""
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._waiting[0].since + self._ack_timeout - now, self._give_up)

    def _give_up(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        while self._waiting and self._waiting[0].since + self._ack_timeout <= now:
            self._settled(self._waiting[0], Refused(answers.NOT_ACKNOWLEDGED, "timeout"))
        if self._waiting:
            self._watch(now)


class _Waiting:
    """A delivery whose records are on their way; without its answer it is settled."""

    __slots__ = ("answering", "delivery", "held", "since")

    def __init__(self, delivery: Told, held: int, answering: Answering, since: float) -> None:
        self.delivery: Told | None = delivery
        self.held = held  # bytes
        self.answering: Answering | None = answering
        self.since = since  # seconds of the loop's clock


def _place(defect: BaseException) -> str:
    frame = traceback.extract_tb(defect.__traceback__)[-1]
    return f"{PurePath(frame.filename).name}:{frame.lineno}"
