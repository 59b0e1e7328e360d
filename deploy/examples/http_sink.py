"""A sink to copy: the CRM holds the newest record of every lead on a CRM topic, whatever goes down on the way.

Needs `confluent-kafka[avro,schemaregistry]` and nothing of leadstream. README.md has the settings and the reasons.
"""

import json
import logging
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.schema_registry.error import SchemaRegistryError

BATCH, LINGER = 100, 1.0  # records and seconds; a crash repeats a batch at most
PATIENCE = 10.0  # seconds for an answer; far below max.poll.interval.ms, as nobody polls meanwhile
NOT_NOW = {408, 409, 425, 429, *range(500, 600)}  # the same call may work later
NOT_US = {401, 403, 404, 405, 407, *range(300, 400)}  # no record would be taken, so none is to blame
NO_SUCH_SCHEMA = 40403  # a registry's own code; any other 404 may be of something that is no registry
DOUBT = 10.0  # seconds it has to keep saying that: one that has just started says it of schemas it is yet to read

log = logging.getLogger("http_sink")


class NotNow(Exception):
    """The CRM, the registry or the broker cannot take it now; `seconds` is when to ask again, 0 if it did not say."""

    def __init__(self, why: str, seconds: float = 0.0) -> None:
        super().__init__(why)
        self.seconds = seconds


class Refused(Exception):
    """The fault is the record's own: it is refused whenever it comes. The text quotes nothing of it."""


class Sink:
    """Polls into a batch, flushes that to the CRM, then commits. `settings`: CRM_URL, CRM_TOKEN, DEAD_LETTER_TOPIC."""

    def __init__(
        self,
        consumer: Consumer,
        producer: Producer,
        registry: SchemaRegistryClient,
        decode: Callable[[bytes], object],
        settings: Mapping[str, str],
    ) -> None:
        self.consumer, self.producer, self.registry = consumer, producer, registry
        self.decode, self.settings = decode, settings
        self.batch: dict[bytes, Message] = {}  # the newest record of each lead, in the order of the log
        self.unknown: dict[int, float] = {}  # schemas, and since when the registry says that it knows none such
        self.is_stopping = False

    def run(self, topic: str) -> None:
        """Until `stop` is called; what is in the batch is flushed first, if the CRM takes it now."""
        self.consumer.subscribe([topic], on_revoke=self.revoked, on_lost=self.dropped)
        try:
            while not self.is_stopping:
                due = time.monotonic() + LINGER
                while len(self.batch) < BATCH and (left := due - time.monotonic()) > 0 and not self.is_stopping:
                    self.add(left)
                if self.batch:
                    self.flush()
        finally:
            self.consumer.close()  # calls `revoked`, which commits what was flushed

    def add(self, seconds: float) -> None:
        message = self.consumer.poll(seconds)
        if message is not None and (error := message.error()):
            log.warning("Kafka: %s", error)  # the client goes on by itself, unless it is fatal
            if error.fatal():
                raise KafkaException(error)
        elif message is not None:
            lead = message.key() or place(message).encode()
            self.batch.pop(lead, None)  # at the end, so that a commit never passes the newest record of a lead
            self.batch[lead] = message

    def flush(self) -> None:
        tries = 0
        while self.batch:
            lead, message = next(iter(self.batch.items()))
            seconds = 0.0
            try:
                self.deliver(message)
                del self.batch[lead]
                self.consumer.store_offsets(message=message)
                tries = 0
            except NotNow as later:
                tries = min(tries + 1, 6)
                seconds = later.seconds or 2**tries / 2 * random.uniform(0.5, 1)  # noqa: S311  spreads, hides nothing
                log.warning("%s: %s; again in %.1f s", place(message), later, seconds)
            self.wait(seconds)
            if seconds and self.is_stopping:
                return  # the rest is uncommitted, and comes again at the next start
        self.consumer.resume(self.consumer.assignment())
        self.commit()

    def wait(self, seconds: float) -> None:
        """Polls all the while, so that the group keeps us, and a rebalance can take its part out of the batch."""
        until = time.monotonic() + seconds
        while True:
            self.consumer.pause(self.consumer.assignment())  # no more records, of new partitions neither
            self.add(max(0.0, min(until - time.monotonic(), 1.0)))
            if time.monotonic() >= until or self.is_stopping:
                return

    def deliver(self, message: Message) -> None:
        """To the CRM, or where that is useless to the dead letters. `NotNow` if neither took it."""
        try:
            self.upsert(message, self.read(message))
        except Refused as fault:
            self.bury(message, str(fault))

    def read(self, message: Message) -> object:
        """The lead; None of a tombstone. First its schema: what fails with that at hand is the record's own fault."""
        if (value := message.value()) is None:
            return None
        if value[0:1] == b"\0":  # else it is no frame, and names no schema
            self.look_up(int.from_bytes(value[1:5], "big"))
        try:
            return self.decode(value)
        except Exception as error:  # noqa: BLE001  bad bytes make fastavro raise almost anything
            raise Refused(type(error).__name__) from None

    def look_up(self, schema: int) -> None:
        try:
            self.registry.get_schema(schema)  # asks once, and keeps it
        except SchemaRegistryError as error:
            told, status = error.error_code, f"answers {error.http_status_code}"
        except Exception as error:  # noqa: BLE001  its client raises whatever its HTTP and JSON libraries do
            told, status = None, f"cannot be asked ({type(error).__name__})"
        else:
            return
        if told != NO_SUCH_SCHEMA:
            self.unknown.clear()
            raise NotNow(f"the registry {status}")
        since = self.unknown.setdefault(schema, time.monotonic())
        if time.monotonic() < since + DOUBT:
            raise NotNow("the registry does not know its schema yet")
        raise Refused("the registry does not know its schema")

    def upsert(self, message: Message, lead: object) -> None:
        if not message.key():
            raise Refused("it has no key")
        headers = {"Content-Type": "application/json", "Idempotency-Key": place(message)}
        if token := self.settings.get("CRM_TOKEN"):
            headers["Authorization"] = f"Bearer {token}"
        request = Request(  # noqa: S310  the operator names the CRM
            f"{self.settings['CRM_URL'].rstrip('/')}/leads/{quote(message.key() or b'', safe='')}",
            method="DELETE" if lead is None else "PUT",
            data=None if lead is None else json.dumps(lead, default=lambda moment: moment.isoformat()).encode(),
            headers=headers,
        )
        try:
            urlopen(request, timeout=PATIENCE).close()  # noqa: S310  as above
        except HTTPError as answer:
            answer.close()  # unread: it may quote the lead
            if lead is None and answer.code in {404, 410}:
                return
            if answer.code in NOT_NOW:
                raise NotNow(f"the CRM answers {answer.code}", retry_after(answer.headers["Retry-After"])) from None
            if answer.code in NOT_US:
                sys.exit(f"{place(message)}: the CRM answers {answer.code}; put CRM_URL or CRM_TOKEN right")
            raise Refused(f"HTTP {answer.code}") from None
        except (OSError, HTTPException) as error:
            raise NotNow(f"the CRM does not answer ({type(error).__name__})") from None

    def bury(self, message: Message, why: str) -> None:
        """The record as it was, with Kafka Connect's headers, so that its tools can read it."""
        if not (topic := self.settings.get("DEAD_LETTER_TOPIC")):
            sys.exit(f"{place(message)}: refused for good ({why}); name a DEAD_LETTER_TOPIC for such, and start again")
        said = {"topic": message.topic(), "partition": message.partition(), "offset": message.offset()}
        said |= {"stage": "TASK_PUT", "exception.class.name": Refused.__name__, "exception.message": why}
        headers = [(f"__connect.errors.{name}", str(value).encode()) for name, value in said.items()]
        failures: list[object] = []
        self.producer.produce(
            topic,
            key=message.key(),
            value=message.value(),
            headers=[*(message.headers() or []), *headers],
            timestamp=message.timestamp()[1],
            on_delivery=lambda error, _: failures.append(error) if error else None,
        )
        self.producer.flush()  # ends by delivery.timeout.ms
        if failures:
            raise NotNow(f"{topic} does not take a dead letter ({failures[0]})")
        log.warning("%s: refused for good (%s), now on %s", place(message), why, topic)

    def commit(self) -> None:
        """Commits what was flushed: no other offset is stored."""
        try:
            self.consumer.commit(asynchronous=False)
        except KafkaException as error:
            if error.args[0].name() != "_NO_OFFSET":  # none was stored
                log.warning("not committed (%s): what was flushed may be flushed again", error.args[0].str())

    def revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self.commit()
        self.dropped(consumer, partitions)

    def dropped(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self.consumer.resume(partitions)  # or they are still paused when they come back
        gone = {(each.topic, each.partition) for each in partitions}
        self.batch = {lead: it for lead, it in self.batch.items() if (it.topic(), it.partition()) not in gone}

    def stop(self, *_: object) -> None:
        self.is_stopping = True


def place(message: Message) -> str:
    """Where the record lies: the same however often it is delivered, another for each record."""
    return f"{message.topic()}-{message.partition()}-{message.offset()}"


def retry_after(header: str | None) -> float:
    """Seconds from now, by a header in seconds or with an HTTP date; 0 where it says nothing that can be read."""
    try:
        if header is None or header.isdigit():
            return float(header or 0)
        return max(0.0, (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return 0.0


def main() -> None:
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.WARNING)
    settings = {name: value for name, value in os.environ.items() if value}
    if missing := {"KAFKA_BOOTSTRAP_SERVERS", "REGISTRY_URL", "CRM_TOPIC", "CRM_URL", "GROUP"} - settings.keys():
        sys.exit(f"set {', '.join(sorted(missing))}")
    options = json.loads(settings.get("KAFKA_OPTIONS", "{}"))
    broker = options | {"bootstrap.servers": settings["KAFKA_BOOTSTRAP_SERVERS"]}
    by_hand = {"enable.auto.commit": False, "enable.auto.offset.store": False, "auto.offset.reset": "earliest"}
    consumer = Consumer(broker | by_hand | {"group.id": settings["GROUP"]})
    one_by_one = {"enable.idempotence": True, "delivery.timeout.ms": 30_000, "message.max.bytes": 8_454_144}
    producer = Producer(broker | one_by_one)  # of dead letters
    registry = SchemaRegistryClient({"url": settings["REGISTRY_URL"], "timeout": PATIENCE, "max.retries": 0})
    sink = Sink(consumer, producer, registry, AvroDeserializer(registry), settings)
    for ending in signal.SIGTERM, signal.SIGINT:
        signal.signal(ending, sink.stop)
    sink.run(settings["CRM_TOPIC"])


if __name__ == "__main__":
    main()
