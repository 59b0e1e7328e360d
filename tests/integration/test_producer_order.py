"""What an idempotent producer must not do: take a later batch's acknowledgement for that of an earlier one.

A broker that does not know a producer on a partition accepts whatever sequence it sees first. If a first batch is
refused while the leader changes and a second one, sent right behind it, is not, librdkafka concludes that the first
must be there too: four leads were reported as delivered that no log had (seen once in thousands of restarts, and by
others as confluent-kafka-go#921). A proxy between producer and broker makes that moment happen every time.
"""

import asyncio
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from ingest.kafka import ConfluentProducer
from ingest.records import UPDATES, Record, Topics
from ingest.settings import KafkaSettings
from tests.programs import System

PRODUCE = 0  # Kafka's key of the request
UNKNOWN, NOT_LEADER = struct.pack(">h", 3), struct.pack(">h", 6)
NOWHERE = struct.pack(">i", 4711)  # a partition that is not there
SECOND_WITHIN = 1.0  # seconds that the first batch's refusal is held back, for a second one to be sent meanwhile


class Proxy:
    """Passes everything on, but the first batch to a topic: that one is answered as by a broker that is not its leader.

    It is sent on for a partition that is not there, and the broker's refusal comes back under the right one.
    """

    def __init__(self, broker: str, topic: str) -> None:
        host, port = broker.split(":")
        self._broker = (host, int(port))
        self._topic = topic.encode()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._own = b"127.0.0.1" + struct.pack(">i", self._listening.getsockname()[1])
        self._theirs = b"127.0.0.1" + struct.pack(">i", int(port))
        self._partition: bytes | None = None  # of the first batch
        self.first = threading.Event()
        self._second = threading.Event()
        self._open: list[socket.socket] = [self._listening]

    @property
    def where(self) -> str:
        return f"127.0.0.1:{self._listening.getsockname()[1]}"

    def run(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listening.accept()
                broker = socket.create_connection(self._broker)
                self._open += [client, broker]
                for source, goal, change in (client, broker, self._asked), (broker, client, self._answered):
                    threading.Thread(target=self._pass, args=(source, goal, change), daemon=True).start()

    def close(self) -> None:
        for each in self._open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _pass(self, source: socket.socket, goal: socket.socket, change) -> None:  # type: ignore[no-untyped-def]  # one of the two below
        with suppress(OSError, struct.error):
            while head := _exactly(source, 4):
                goal.sendall(head + change(_exactly(source, struct.unpack(">i", head)[0])))

    def _asked(self, frame: bytes) -> bytes:
        if struct.unpack_from(">h", frame)[0] != PRODUCE or self._topic not in frame:
            return frame
        if self.first.is_set():
            self._second.set()
            return frame
        self.first.set()
        # The topic's name, an array of one partition, and its number.
        at = frame.index(self._topic) + len(self._topic) + 1
        self._partition = frame[at : at + 4]
        return frame[:at] + NOWHERE + frame[at + 4 :]

    def _answered(self, frame: bytes) -> bytes:
        if self._partition is not None and NOWHERE + UNKNOWN in frame:
            self._second.wait(SECOND_WITHIN)
            return frame.replace(NOWHERE + UNKNOWN, self._partition + NOT_LEADER)
        return frame.replace(self._theirs, self._own)


def _exactly(source: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size and (part := source.recv(size - len(found))):
        found += part
    return found


@contextmanager
def proxy(system: System) -> Iterator[Proxy]:
    between = Proxy(system.env["KAFKA_BOOTSTRAP_SERVERS"], system.topics(UPDATES))
    thread = threading.Thread(target=between.run, daemon=True)
    thread.start()
    try:
        yield between
    finally:
        between.close()
        thread.join()


@pytest.mark.parametrize("more", [1, 20])
def test_what_is_reported_as_delivered_is_there_though_the_first_batch_met_a_change_of_leaders(
    system: System, more: int
) -> None:
    first = [f"first {number}" for number in range(4)]
    then = [f"then {number}" for number in range(more)]
    with proxy(system) as between:
        settings = KafkaSettings(kafka_bootstrap_servers=between.where, topic_prefix=system.env["TOPIC_PREFIX"])

        async def deliver() -> None:
            producer = ConfluentProducer(settings, Topics(prefix=settings.topic_prefix), timeout=30, client="test")
            await asyncio.to_thread(producer._producer.list_topics, system.topics(UPDATES), 10)  # noqa: SLF001  connected before the first batch
            early = asyncio.create_task(producer.deliver([_record(value) for value in first]))
            await asyncio.to_thread(between.first.wait, 10)
            await asyncio.gather(early, *(producer.deliver([_record(value)]) for value in then))
            await producer.close(10)

        asyncio.run(deliver())
    assert [record.value.decode() for record in system.records(UPDATES) if record.value] == [*first, *then]


def _record(value: str) -> Record:
    """All of one key, and so of one partition."""
    return Record(topic=UPDATES, key=b"1", value=value.encode())
