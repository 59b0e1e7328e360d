"""How we speak to Kafka: one set of client options, and a producer that says when the broker has everything.

`Producer.deliver` returns when every record is acknowledged by all in-sync replicas, and raises otherwise; there is no
third outcome. What raised may still have reached the broker: its sender sends again, and duplicates do no harm.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

import confluent_kafka

from ingest import telemetry
from ingest.records import RAW, Record, Topics
from ingest.settings import KafkaSettings

# Room for the largest answer with the largest form and the largest delivery; schemas/topics.toml allows as much.
MAX_RECORD_BYTES = 8 * 2**20


class NotAcknowledged(Exception):
    """The broker does not have all of the records: send them again. `reason` is one word, librdkafka's or ours."""

    def __init__(self, reason: str = "not-acknowledged") -> None:
        super().__init__(reason)
        self.reason = reason


class Unacceptable(NotAcknowledged):
    """The broker takes one of the records in no case: too large, or without a key where one is needed."""


class ProducerFailed(Exception):
    """The producer can promise nothing any more (fenced, out of sequence): the process must end."""


class Producer(Protocol):
    """What a door needs of Kafka."""

    async def deliver(self, records: Sequence[Record]) -> None:
        """Returns when the broker has acknowledged every record; NotAcknowledged or ProducerFailed otherwise."""
        ...

    async def reachable(self, timeout: float) -> bool:
        """Whether a broker answers within `timeout` seconds."""
        ...


def client_options(settings: KafkaSettings) -> dict[str, str]:
    """librdkafka's options to reach the cluster, for producers, consumers and the admin client alike."""
    options = {
        "bootstrap.servers": settings.kafka_bootstrap_servers,
        "security.protocol": settings.kafka_security_protocol,
    }
    if settings.kafka_security_protocol.startswith("SASL"):
        options |= {
            "sasl.mechanism": settings.kafka_sasl_mechanism,
            "sasl.username": settings.kafka_sasl_username,
            "sasl.password": settings.kafka_sasl_password.get_secret_value(),
        }
    if settings.kafka_ssl_ca_file is not None:
        options["ssl.ca.location"] = str(settings.kafka_ssl_ca_file)
    return options


class ConfluentProducer:
    """librdkafka's idempotent producer, with one future per delivery.

    Memory is bounded by `queue_bytes`: a full queue raises NotAcknowledged at once. A record the broker has not
    acknowledged after `timeout` seconds is given up, so nothing piles up behind a broker that is away; None waits for
    it without limit.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        topics: Topics,
        *,
        timeout: float | None,
        client: str = "leadstream-door",
        queue_bytes: int = 64 * 2**20,
        linger: float = 0.002,
    ) -> None:
        self._topics = topics
        self._fatal = False
        self._producer = confluent_kafka.Producer(
            client_options(settings)
            | {
                "client.id": client,
                # As Java's producers do it: a tombstone that an operator's tool writes must meet the record it erases.
                "partitioner": "murmur2_random",
                "acks": "all",
                "enable.idempotence": True,
                # librdkafka takes a batch's acknowledgement for that of every batch before it. A broker that knows
                # nothing of this producer on a partition takes a second batch though it has refused the first one.
                # So no batch is sent before the one before it is settled; tests/integration/test_producer_order.py.
                "max.in.flight": 1,
                "compression.type": "lz4",
                "linger.ms": linger * 1000,
                "message.timeout.ms": 0 if timeout is None else round(timeout * 1000),
                "message.max.bytes": MAX_RECORD_BYTES,
                "queue.buffering.max.kbytes": max(1, queue_bytes // 1024),
                "queue.buffering.max.messages": 0,  # bytes are the bound
                # A broker that came back is found within half a second, not within the default ten.
                "reconnect.backoff.max.ms": 500,
                "allow.auto.create.topics": False,
                "log_level": 0,  # what matters of librdkafka's own lines is in the errors below
            },
            logger=logging.getLogger("librdkafka"),  # else it writes to stderr by itself
        )
        self._closing = threading.Event()
        self._poller = threading.Thread(target=self._poll, name="kafka-producer", daemon=True)
        self._poller.start()

    async def deliver(self, records: Sequence[Record]) -> None:
        if self._fatal:
            raise ProducerFailed
        if not records:
            return
        waiting = _Delivery(asyncio.get_running_loop(), len(records), self._failure)
        for position, record in enumerate(records):
            try:
                self._producer.produce(
                    self._topics(record.topic),
                    value=record.value,
                    key=record.key,
                    headers=list(record.headers),
                    timestamp=record.timestamp or 0,  # 0 is librdkafka's word for now
                    on_delivery=waiting.settle,
                )
            except BufferError:
                waiting.give_up(len(records) - position, NotAcknowledged("queue-full"))
                break
            except confluent_kafka.KafkaException as error:
                waiting.give_up(len(records) - position, self._failure(error.args[0]))
                break
        await waiting.future

    async def reachable(self, timeout: float) -> bool:
        return await asyncio.to_thread(self._answers, timeout)

    async def close(self, timeout: float) -> None:
        """Waits up to `timeout` seconds for what is still on its way, then stops the poll thread."""
        with suppress(confluent_kafka.KafkaException):  # fatal: nothing more will be acknowledged
            await asyncio.to_thread(self._producer.flush, timeout)
        self._closing.set()
        await asyncio.to_thread(self._poller.join)

    def _answers(self, timeout: float) -> bool:
        try:
            # Of one topic: a cluster's whole metadata can be megabytes.
            return bool(self._producer.list_topics(self._topics(RAW), timeout=timeout).brokers)
        except confluent_kafka.KafkaException:
            return False

    def _poll(self) -> None:
        while not self._closing.is_set():
            try:
                self._producer.poll(0.1)
            except confluent_kafka.KafkaException as error:
                # This is where a fatal error is told, once; what was on its way is then failed with other errors.
                self._fatal = True
                telemetry.log("error", "producer.fatal", reason=error.args[0].name())
            except Exception as error:  # noqa: BLE001  a thread that dies in silence would leave every delivery waiting
                self._fatal = True
                telemetry.log("error", "producer.fatal", reason=type(error).__name__)

    def _failure(self, error: confluent_kafka.KafkaError) -> Exception:
        if self._fatal or error.code() == _FATAL:
            return ProducerFailed()
        return (Unacceptable if error.code() in _UNACCEPTABLE else NotAcknowledged)(error.name())


class _Delivery:
    """Counts the acknowledgements of one call; only the last of them wakes the event loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        records: int,
        failure: Callable[[confluent_kafka.KafkaError], Exception],
    ) -> None:
        self.future: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._lock = threading.Lock()  # the poll thread settles, the event loop may give up
        self._left = records
        self._failure = failure
        self._error: Exception | None = None

    def settle(self, error: confluent_kafka.KafkaError | None, _message: object) -> None:
        self._finish(1, None if error is None else self._failure(error))

    def give_up(self, records: int, error: Exception) -> None:
        self._finish(records, error)

    def _finish(self, records: int, error: Exception | None) -> None:
        with self._lock:
            self._left -= records
            self._error = self._error or error
            done = self._left == 0
        if done:
            self._loop.call_soon_threadsafe(self._resolve)

    def _resolve(self) -> None:
        if self.future.done():
            return
        if self._error is None:
            self.future.set_result(None)
        else:
            self.future.set_exception(self._error)


_UNACCEPTABLE = frozenset({confluent_kafka.KafkaError.MSG_SIZE_TOO_LARGE, confluent_kafka.KafkaError.INVALID_RECORD})
_FATAL = -150  # librdkafka's code for "a fatal error came before"; every other error of one record is its own
