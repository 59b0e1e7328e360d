"""The door over librdkafka and a broker that is really stopped, and as the process that a user starts."""

import asyncio
import re
import secrets
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import ClassVar

import aiohttp
import pytest

from deploy.sandbox import FREE_PORTS, Sandbox
from ingest.kafka import ConfluentProducer
from ingest.meta.notification import Notification
from ingest.reading import Reader, ReadingError
from ingest.records import RAW, Received, Topics
from ingest.settings import KafkaSettings
from tests.door import APP_SECRET, VERIFY_TOKEN, Sender, create_topics, leadgen, open_door, post_of, sending_to
from tests.door_promises import DoorPromises
from tests.programs import Program, eventually

ACK_SECONDS = 2.0


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A broker of this module's own: nobody else's is stopped."""
    sandbox = Sandbox(tmp_path_factory.mktemp("kafka"), FREE_PORTS)
    try:
        sandbox.up(only=["kafka"])
        yield sandbox
    finally:
        sandbox.down()


def topics_of_its_own(kafka: Sandbox) -> KafkaSettings:
    settings = KafkaSettings(
        kafka_bootstrap_servers=kafka.env()["KAFKA_BOOTSTRAP_SERVERS"], topic_prefix=f"t{secrets.token_hex(4)}."
    )
    create_topics(settings)
    return settings


def kept(settings: KafkaSettings, topic: str) -> list[Received]:
    """Everything on a topic; for a moment after a broker or a topic has come, nobody leads a partition."""
    found: list[Received] = []

    def can_be_read() -> bool:
        with suppress(ReadingError), Reader(settings) as reader:
            found[:] = reader.read(Topics(prefix=settings.topic_prefix)(topic))
            return True
        return False

    eventually(can_be_read, 60, f"{topic} can be read")
    return found


@dataclass
class Real:
    sender: Sender
    kafka: Sandbox
    settings: KafkaSettings

    async def kept(self, topic: str) -> Sequence[Received]:
        return await asyncio.to_thread(kept, self.settings, topic)

    async def stop_broker(self) -> None:
        await asyncio.to_thread(self.kafka.part("kafka").stop)

    async def start_broker(self) -> None:
        await asyncio.to_thread(self.kafka.up, ["kafka"])


class TestDoorOverKafka(DoorPromises):
    kafka: ClassVar[Sandbox]

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _over(cls, kafka: Sandbox) -> None:
        cls.kafka = kafka

    @asynccontextmanager
    async def world(self) -> AsyncIterator[Real]:
        settings = topics_of_its_own(self.kafka)
        producer = ConfluentProducer(settings, Topics(prefix=settings.topic_prefix), timeout=ACK_SECONDS)
        try:
            async with open_door(producer, ingest_ack_timeout=ACK_SECONDS) as opened:
                yield Real(opened.sender, self.kafka, settings)
        finally:
            await producer.close(ACK_SECONDS)


class Service:
    """`leadstream serve` as a user starts it, with topics of its own."""

    def __init__(self, kafka: Sandbox, folder: Path) -> None:
        self.kafka = kafka
        self.settings = topics_of_its_own(kafka)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.log = folder / "serve.log"

    def start(self, **more: str) -> Program:
        settings = {
            "KAFKA_BOOTSTRAP_SERVERS": self.settings.kafka_bootstrap_servers,
            "TOPIC_PREFIX": self.settings.topic_prefix,
            "META_APP_SECRETS": APP_SECRET,
            "META_VERIFY_TOKEN": VERIFY_TOKEN,
            "INGEST_PORT": str(self.port),
        }
        self.program = Program("serve", env=settings | more, log=self.log)
        return self.program.wait_ready()

    def leads(self) -> Counter[str]:
        return Counter(Notification.read(record.value or b"").lead_id for record in kept(self.settings, RAW))

    def post(self, *bodies: bytes) -> list[int]:
        """All at once; the statuses. 0 where the connection ended without an answer."""

        async def run() -> list[int]:
            async with sending_to("127.0.0.1", self.port) as sender:
                return await asyncio.gather(*(status(sender, body) for body in bodies))

        return asyncio.run(run())


async def status(sender: Sender, body: bytes) -> int:
    try:
        return (await sender.post(body)).status
    except aiohttp.ClientConnectionError:
        return 0


@pytest.fixture
def service(kafka: Sandbox, tmp_path: Path) -> Iterator[Service]:
    service = Service(kafka, tmp_path)
    yield service
    service.program.stop()
    kafka.part("kafka").resume()
    kafka.up(only=["kafka"])


@pytest.mark.parametrize("how", ["stopped", "hanging"])
def test_while_the_broker_is_away_the_answer_is_503_within_6_seconds(service: Service, how: str) -> None:
    """And when it is back, deliveries are accepted by the same process."""
    broker = service.kafka.part("kafka")
    program = service.start()
    children = program.children()
    assert service.post(post_of(leadgen(1))) == [200]

    broker.stop() if how == "stopped" else broker.pause()
    began = time.monotonic()
    assert set(service.post(*(post_of(leadgen(lead)) for lead in range(2, 22)))) == {503}
    assert time.monotonic() - began < 6
    eventually(lambda: program.asked("ready")[0] == 503, 60, "not ready without a broker")
    assert program.asked("health")[0] == 200

    broker.resume()
    service.kafka.up(only=["kafka"])
    program.wait_ready()
    eventually(lambda: service.post(post_of(leadgen(22))) == [200], 60, "accepted again")
    assert program.children() == children
    assert {"1", "22"} <= set(service.leads())


def test_told_to_stop_it_answers_what_is_open_and_keeps_every_accepted_lead(service: Service) -> None:
    """Eight senders, each as fast as it can; a connection that ends without an answer was not accepted."""
    program = service.start()
    accepted: list[str] = []
    statuses: Counter[int] = Counter()
    flowing = asyncio.Event()

    async def deliver(sender: Sender, leads: Iterator[int]) -> None:
        for lead in leads:
            got = await status(sender, post_of(leadgen(lead)))
            statuses[got] += 1
            if got == 200:
                accepted.append(str(lead))
            if len(accepted) == 500:
                flowing.set()
            if got == 0:
                return

    async def run() -> int:
        leads = count(1)
        async with sending_to("127.0.0.1", service.port) as sender:
            senders = [asyncio.create_task(deliver(sender, leads)) for _ in range(8)]
            await flowing.wait()
            code = await asyncio.to_thread(program.stop)
            await asyncio.gather(*senders)
            return code

    assert asyncio.run(run()) == 0
    assert set(statuses) == {200, 0}
    assert len(accepted) >= 500
    assert Counter(accepted) <= service.leads()


def test_a_flood_that_cannot_be_kept_is_refused_in_bounded_memory(service: Service) -> None:
    """200 MB at once with the broker away, where 8 MiB may be in flight."""
    program = service.start(INGEST_MAX_IN_FLIGHT=str(8 * 2**20))
    (child,) = program.children()
    body = post_of({"field": "about", "value": "x" * 500_000})
    assert service.post(body) == [200]
    before = peak_memory(child)
    service.kafka.part("kafka").stop()
    answered = Counter(service.post(*[body] * 400))
    assert set(answered) <= {503, 0}
    assert peak_memory(child) - before < 128 * 2**20
    service.kafka.up(only=["kafka"])
    eventually(lambda: service.post(body) == [200], 60, "accepted again")
    assert program.children() == [child]


def test_nothing_that_was_sent_and_no_secret_is_in_the_log(service: Service) -> None:
    program = service.start(INGEST_ACK_TIMEOUT="2")
    planted = {"field": "leadgen", "value": {"leadgen_id": "planted-lead", "field_data": ["planted@example.com"]}}
    bodies = [post_of(planted), post_of(planted)[:-1], b'{"facebook_lead_id":["planted"]}']
    assert service.post(*bodies) == [200, 400, 422]
    with socket.create_connection(("127.0.0.1", service.port)) as stranger:
        stranger.sendall(b"planted nonsense that is no HTTP\r\n\r\n")
        assert b"400" in stranger.recv(100)
    service.kafka.part("kafka").stop()
    assert service.post(bodies[0]) == [503]
    assert program.stop() == 0
    log = service.log.read_text()
    assert "door.listening" in log
    assert "door.refused" in log
    assert "door.not-acknowledged" in log
    for secret in ("planted", APP_SECRET, VERIFY_TOKEN):
        assert secret not in log


def peak_memory(pid: int) -> int:
    """Bytes."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024
