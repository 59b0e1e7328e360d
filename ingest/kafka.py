"""How we speak to Kafka: one set of client options, and a producer that says when the broker has everything.

`Producer.deliver` returns when every record is acknowledged by all in-sync replicas, and raises otherwise; there is no
third outcome. What raised may still have reached the broker: its sender sends again, and duplicates do no harm.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import confluent_kafka

from ingest import telemetry
from ingest.records import RAW, Headers, Record, Topics
from ingest.settings import KafkaSettings

# Room for the largest answer with the largest form and the largest delivery; schemas/topics.toml allows as much.
MAX_RECORD_BYTES = 8 * 2**20
# Between two looks at what was acknowledged, while something is on its way. A thread that waits for it takes the
# interpreter's lock from the event loop for every batch, at several times the cost of a look from the loop itself.
POLL_SECONDS = 0.001
# And while nothing is: librdkafka also tells each failure to reach a broker, and keeps what nobody has asked for.
IDLE_SECONDS = 1.0


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
    """librdkafka's idempotent producer, for the event loop that it is made in.

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
        self._names: dict[str, str] = {}
        self._loop = asyncio.get_running_loop()
        self._busy = False  # something is on its way
        self._timer = self._loop.call_later(IDLE_SECONDS, self._poll)

    async def deliver(self, records: Sequence[Record]) -> None:
        outcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def settled(error: Exception | None) -> None:
            if outcome.done():  # nobody waits for it any more
                return
            if error is None:
                outcome.set_result(None)
            else:
                outcome.set_exception(error)

        self.send(records, settled)
        await outcome

    def send(self, records: Sequence[Record], settled: Callable[[Exception | None], None]) -> None:
        """Calls `settled` once, from the running event loop: with None, or with what `deliver` raises."""
        if self._fatal or not records:
            settled(ProducerFailed() if self._fatal else None)
            return
        left = _Left(len(records), self._failure, settled)
        produce, names, acknowledged = self._producer.produce, self._names, left.acknowledged
        said: Headers = ()
        headers: list[tuple[str, str | bytes | None]] = []
        for position, record in enumerate(records):
            topic = names.get(record.topic) or names.setdefault(record.topic, self._topics(record.topic))
            if record.headers is not said:  # records of one call often share them
                said = record.headers
                headers = list(said)
            try:
                # By position, which is half the cost: partition -1 is the partitioner's, timestamp 0 is now.
                produce(topic, record.value, record.key, -1, acknowledged, None, record.timestamp or 0, headers)
            except BufferError:
                left.finish(len(records) - position, NotAcknowledged("queue-full"))
                break
            except confluent_kafka.KafkaException as error:
                left.finish(len(records) - position, self._failure(error.args[0]))
                break
        if not self._busy:
            self._busy = True
            self._poll_in(POLL_SECONDS)

    async def reachable(self, timeout: float) -> bool:
        return await asyncio.to_thread(self._answers, timeout)

    async def close(self, timeout: float) -> None:
        """Waits up to `timeout` seconds for what is still on its way."""
        end = time.monotonic() + timeout
        self._settle()
        while len(self._producer) and not self._fatal and time.monotonic() < end:
            await asyncio.sleep(POLL_SECONDS)
            self._settle()
        if not len(self._producer):
            self._timer.cancel()

    def _answers(self, timeout: float) -> bool:
        try:
            # Of one topic: a cluster's whole metadata can be megabytes.
            return bool(self._producer.list_topics(self._topics(RAW), timeout=timeout).brokers)
        except confluent_kafka.KafkaException:
            return False

    def _poll(self) -> None:
        self._settle()
        self._busy = len(self._producer) > 0
        self._poll_in(POLL_SECONDS if self._busy else IDLE_SECONDS)

    def _poll_in(self, seconds: float) -> None:
        self._timer.cancel()
        self._timer = self._loop.call_later(seconds, self._poll)

    def _settle(self) -> None:
        """Tells what was acknowledged and what failed since it was asked last."""
        try:
            self._producer.poll(0)
        except confluent_kafka.KafkaException as error:
            # This is where a fatal error is told, once; what was on its way is then failed with other errors.
            self._fatal = True
            telemetry.log("error", "producer.fatal", reason=error.args[0].name())
        except Exception as error:  # noqa: BLE001  polling that ends in silence would leave every delivery waiting
            self._fatal = True
            telemetry.log("error", "producer.fatal", reason=type(error).__name__)

    def _failure(self, error: confluent_kafka.KafkaError) -> Exception:
        if self._fatal or error.code() == _FATAL:
            return ProducerFailed()
        return (Unacceptable if error.code() in _UNACCEPTABLE else NotAcknowledged)(error.name())


class _Left:
    """Counts the acknowledgements of one call; only the last of them is told."""

    __slots__ = ("_error", "_failure", "_left", "_settled")

    def __init__(
        self,
        records: int,
        failure: Callable[[confluent_kafka.KafkaError], Exception],
        settled: Callable[[Exception | None], None],
    ) -> None:
        self._left = records
        self._failure = failure
        self._settled = settled
        self._error: Exception | None = None

    def acknowledged(self, error: confluent_kafka.KafkaError | None, _message: object) -> None:
        if error is not None:
            self._error = self._error or self._failure(error)
        self._left -= 1
        if not self._left:
            self._settled(self._error)

    def finish(self, records: int, error: Exception) -> None:
        """So many of them are not even on their way."""
        self._error = self._error or error
        self._left -= records
        if not self._left:
            self._settled(self._error)


_UNACCEPTABLE = frozenset({confluent_kafka.KafkaError.MSG_SIZE_TOO_LARGE, confluent_kafka.KafkaError.INVALID_RECORD})
_FATAL = -150  # librdkafka's code for "a fatal error came before"; every other error of one record is its own
