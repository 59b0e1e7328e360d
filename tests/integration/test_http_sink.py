"""The reference sink as a user runs it, on a real broker and registry, against an HTTP CRM that has bad days.

The CRM of these tests applies every call, whatever its idempotency key: what is delivered twice has to be harmless by
itself, and how often that was is counted.
"""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

# The name is public, but brought into the module without saying so.
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from deploy.examples import http_sink
from deploy.sandbox import Sandbox
from ingest.codec import Codec
from ingest.reading import Reader
from ingest.records import Received
from ingest.registry import open_registry
from ingest.settings import KafkaSettings
from processors.mapping.avro import avro_schema
from processors.mapping.reading import read_mapping
from tests.evolution import Avro
from tests.programs import eventually

PARTITIONS = 4
TOKEN = "planted-token-7f3a"
QUICK = {"session.timeout.ms": 6000, "max.poll.interval.ms": 6000, "heartbeat.interval.ms": 500}
MAPPING = """
target: sales
owner: crm@example.org
doc: Leads for the sales team.
fields:
  name: {doc: Name., from: [{standard: full_name}]}
  born: {type: date, doc: Date of birth., from: [{standard: date_of_birth}]}
  created: {type: timestamp, doc: When., from: [{lead: created_at}]}
  tags: {type: strings, doc: Interests., from: [{field: tags}]}
"""
FIRST: Avro = dict(avro_schema(read_mapping(MAPPING, file="sales.yaml").mapping))
GROWN: Avro = dict(
    avro_schema(
        read_mapping(MAPPING + "  budget: {type: int, doc: Budget., from: [{field: b}]}", file="sales.yaml").mapping
    )
)


class Crm:
    """An HTTP CRM in memory, at one port for its life; `faults` come one to a call, where there are any."""

    def __init__(self) -> None:
        self.leads: dict[str, Any] = {}
        self.taken: Counter[str] = Counter()  # by idempotency key: calls that were applied
        self.asked = 0
        self.faults: list[tuple[int, dict[str, str]] | str | None] = []  # the last one first
        self.refuses: set[str] = set()
        self.seconds = 0.0  # that each call takes
        self._lock = threading.Lock()
        self._port = 0
        self.up()

    def up(self) -> None:
        crm = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                lead = self.path.rpartition("/")[2]
                time.sleep(crm.seconds)  # its slowness is the matter
                if self.headers["Authorization"] != f"Bearer {TOKEN}":
                    return self.answer(401)
                with crm._lock:
                    crm.asked += 1
                    fault = crm.faults.pop() if crm.faults else None
                    if isinstance(fault, tuple):
                        return self.answer(*fault)
                    if lead in crm.refuses:
                        return self.answer(422, {}, body)
                    crm.taken[self.headers["Idempotency-Key"]] += 1
                    known = crm.leads.pop(lead, None)
                    if self.command == "PUT":
                        crm.leads[lead] = json.loads(body)
                if fault == "applied, and hung up":
                    return None
                return self.answer(200 if self.command == "PUT" or known else 404)

            do_DELETE = do_PUT  # noqa: N815  the name that http.server calls

            def answer(self, status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
                self.send_response(status)
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def down(self) -> None:
        """From now on connections are refused."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/api"

    @property
    def repeated(self) -> int:
        """Calls that were applied although the same one had been before."""
        return self.taken.total() - len(self.taken)


class World:
    """A CRM topic, what is written to it, and the sinks that read it."""

    def __init__(self, sandbox: Sandbox, prefix: str, crm: Crm, folder: Path) -> None:
        where = sandbox.env()
        self.bootstrap, self.registry_url = where["KAFKA_BOOTSTRAP_SERVERS"], where["REGISTRY_URL"]
        self.topic, self.dead, self.group = f"{prefix}leads.crm.sales.v1", f"{prefix}sales.dead", f"{prefix}sales-crm"
        self.crm = crm
        self.newest: dict[str, Any] = {}  # what the CRM has to hold in the end
        self._folder = folder
        self._sinks: list[subprocess.Popen[bytes]] = []
        self._codecs: dict[int, Codec[Any]] = {}
        self._producer = Producer({"bootstrap.servers": self.bootstrap, "linger.ms": 5})
        self._chance = random.Random(4711)  # noqa: S311  draws the same tests each time
        self._cluster = AdminClient({"bootstrap.servers": self.bootstrap})
        wanted = [NewTopic(self.topic, PARTITIONS), NewTopic(self.dead, 1)]
        for answer in self._cluster.create_topics(wanted).values():
            answer.result(15)

    def know(self, schema: Avro) -> None:
        """Registers a schema, so that it can be written."""

        async def register() -> int:
            async with open_registry(self.registry_url) as registry:
                return await registry.register(f"{self.topic}-value", schema)

        self._codecs[len(schema["fields"])] = Codec(schema, schema_id=asyncio.run(register()))

    def write(self, leads: range, times: int = 1, *, schema: Avro = FIRST, erased: int = 0) -> None:
        """Each lead so often, in an order drawn by lot; the last word on the last `erased` is a tombstone."""
        drawn = [str(lead) for lead in leads] * times
        self._chance.shuffle(drawn)
        for number, lead in enumerate(drawn):
            self._put(lead, {"name": f"{lead} as of {number} Öğ", "tags": ["a", "b"], "budget": 900}, schema)
        for erase in leads[len(leads) - erased :]:
            self._put(str(erase), None, schema)
        assert self._producer.flush(30) == 0

    def _put(self, lead: str, says: dict[str, Any] | None, schema: Avro) -> None:
        if says is None:
            self._producer.produce(self.topic, key=lead, value=None)
            self.newest.pop(lead, None)
            return
        record = {
            **{field["name"]: says.get(field["name"]) for field in schema["fields"]},
            "lead_id": lead,
            "born": date(1971, 5, 3),
            "created": datetime(2026, 11, 24, 8, 30, tzinfo=UTC),
        }
        self._producer.produce(self.topic, key=lead, value=self._codecs[len(schema["fields"])].encode(record))
        self.newest[lead] = {**record, "born": "1971-05-03", "created": "2026-11-24T08:30:00+00:00"}

    def start(self, **settings: str) -> subprocess.Popen[bytes]:
        """A sink as its user starts it: the file by itself, where nothing of leadstream lies."""
        told = {
            "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap,
            "KAFKA_OPTIONS": json.dumps(QUICK),
            "REGISTRY_URL": self.registry_url,
            "CRM_TOPIC": self.topic,
            "CRM_URL": self.crm.url,
            "CRM_TOKEN": TOKEN,
            "GROUP": self.group,
            "DEAD_LETTER_TOPIC": self.dead,
        }
        with (self._folder / "sink.log").open("ab") as log:
            sink = subprocess.Popen(
                [sys.executable, "-I", http_sink.__file__],
                env=os.environ | told | settings,
                stderr=log,
                cwd=self._folder,
            )
        self._sinks.append(sink)
        return sink

    @property
    def log(self) -> str:
        return (self._folder / "sink.log").read_text()

    def members(self) -> int:
        """How many sinks of the group have partitions."""
        [asked] = self._cluster.describe_consumer_groups([self.group]).values()
        return sum(bool(member.assignment.topic_partitions) for member in asked.result(15).members)

    def is_delivered(self) -> bool:
        """Whether all that was written is committed, and so can never be delivered again."""
        reading = Consumer({"bootstrap.servers": self.bootstrap, "group.id": self.group})
        try:
            partitions = [TopicPartition(self.topic, number) for number in range(PARTITIONS)]
            written = [reading.get_watermark_offsets(each, 15)[1] for each in partitions]
            return [each.offset for each in reading.committed(partitions, 15)] == written
        except KafkaException:  # a broker that comes back has no coordinator for a moment
            return False
        finally:
            reading.close()

    def settle(self, seconds: float = 60) -> None:
        """Waits for the end of it, and looks whether the CRM holds what it has to."""
        eventually(self.is_delivered, seconds, "all that was written is committed")
        assert self.crm.leads == self.newest

    def dead_letters(self) -> list[Received]:
        with Reader(KafkaSettings(kafka_bootstrap_servers=self.bootstrap)) as reader:
            return list(reader.read(self.dead))

    def stop(self) -> None:
        for sink in self._sinks:
            if sink.poll() is None:
                sink.kill()
            sink.wait()


@pytest.fixture
def crm() -> Iterator[Crm]:
    crm = Crm()
    try:
        yield crm
    finally:
        crm.down()


@pytest.fixture
def world(sandbox: Sandbox, topic_prefix: str, crm: Crm, tmp_path: Path) -> Iterator[World]:
    world = World(sandbox, topic_prefix, crm, tmp_path)
    world.know(FIRST)
    try:
        yield world
    finally:
        world.stop()


def test_the_crm_holds_the_newest_record_of_every_lead_whatever_it_answers_on_the_way(world: World) -> None:
    again_at = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    world.crm.faults = [
        (429, {"Retry-After": "1"}),
        None,
        (500, {}),
        None,
        (503, {"Retry-After": again_at}),
        None,
        (408, {}),
        None,
        "applied, and hung up",
        None,
        (502, {}),
    ]
    world.write(range(60), times=3, erased=7)
    world.start()
    world.settle()
    assert len(world.newest) == 53
    assert world.crm.repeated == 1  # the one that was applied without an answer
    assert "429; again in 1.0 s" in world.log
    assert TOKEN not in world.log
    assert "as of" not in world.log


def test_a_record_that_is_refused_for_good_costs_no_other_and_lies_among_the_dead_letters(world: World) -> None:
    world.crm.refuses = {"7"}
    world.write(range(20))
    world.start()
    del world.newest["7"]
    world.settle()
    [letter] = world.dead_letters()
    said = {name: value.decode() for name, value in letter.headers}
    assert letter.key == b"7"
    assert letter.value is not None
    assert b"7 as of" in letter.value
    assert said["__connect.errors.topic"] == world.topic
    assert said["__connect.errors.exception.message"] == "HTTP 422"
    assert {"__connect.errors.partition", "__connect.errors.offset"} <= said.keys()
    assert "as of" not in world.log


def test_without_a_topic_for_dead_letters_it_stops_with_a_sentence_and_goes_on_where_it_stopped(world: World) -> None:
    world.crm.refuses = {"7"}
    world.write(range(20))
    assert world.start(DEAD_LETTER_TOPIC="").wait(60) == 1
    assert "refused for good (HTTP 422); name a DEAD_LETTER_TOPIC" in world.log
    assert not world.is_delivered()
    world.crm.refuses = set()
    world.start(DEAD_LETTER_TOPIC="")
    world.settle()
    assert world.crm.repeated == 0


def test_a_sink_that_is_killed_again_and_again_loses_nothing(
    world: World, record_property: Callable[[str, object], None]
) -> None:
    world.crm.seconds = 0.01
    world.write(range(300), times=2, erased=10)
    for _ in range(3):
        asked = world.crm.asked
        sink = world.start()
        eventually(lambda: world.crm.asked >= asked + 30, 60, "30 calls")  # noqa: B023  asked for in this turn only
        sink.kill()
        sink.wait()
    world.start()
    world.settle()
    record_property("repeated calls", world.crm.repeated)
    assert 0 < world.crm.repeated <= 3 * http_sink.BATCH


def test_asked_to_stop_it_finishes_its_batch_so_that_nothing_is_repeated(world: World) -> None:
    world.crm.seconds = 0.03  # its first batch takes three seconds: it is told to stop before that is over
    world.write(range(150))
    sink = world.start()
    eventually(lambda: world.crm.asked >= 20, 60, "20 calls")
    sink.terminate()
    assert sink.wait(60) == 0
    assert len(world.crm.taken) < 150
    world.start()
    world.settle()
    assert world.crm.repeated == 0


def test_a_second_sink_takes_over_partitions_and_gives_them_back(
    world: World, record_property: Callable[[str, object], None]
) -> None:
    world.crm.seconds = 0.02
    world.write(range(300), times=2, erased=5)
    world.start()
    eventually(lambda: world.crm.asked >= 50, 60, "50 calls")
    second = world.start()
    eventually(lambda: world.members() == 2, 60, "both in the group")
    second.send_signal(signal.SIGINT)
    assert second.wait(60) == 0
    world.settle()
    record_property("repeated calls", world.crm.repeated)
    assert world.crm.repeated <= 3 * http_sink.BATCH


def test_a_crm_that_is_down_for_longer_than_a_poll_may_take_costs_the_sink_nothing(world: World) -> None:
    """Its membership is what would go, with what it has in hand, if it only slept."""
    world.write(range(50))
    world.start()
    world.settle()
    world.crm.down()
    world.write(range(25, 75), times=2, erased=5)
    eventually(lambda: "the CRM does not answer" in world.log, 60, "the sink sees it")
    time.sleep(QUICK["max.poll.interval.ms"] / 1000 + 2)  # the time itself is the matter
    world.crm.up()
    world.settle()
    assert world.crm.repeated == 0
    assert "MAXPOLL" not in world.log


def test_a_registry_that_is_down_stops_only_what_has_a_schema_not_seen_before(world: World, sandbox: Sandbox) -> None:
    world.know(GROWN)
    world.write(range(20))
    world.start()
    world.settle()
    sandbox.down({"registry"})
    try:
        world.write(range(10, 30), erased=2)
        world.settle()
        world.write(range(5), schema=GROWN)
        eventually(lambda: "the registry cannot be asked" in world.log, 60, "the sink waits for the registry")
        assert not world.is_delivered()
    finally:
        sandbox.up()
    world.settle()
    assert world.crm.leads["3"]["budget"] == 900
    assert world.crm.repeated == 0


def test_a_broker_that_is_away_is_waited_for_by_a_sink_that_runs_and_by_one_that_starts(
    world: World, sandbox: Sandbox, record_property: Callable[[str, object], None]
) -> None:
    world.crm.seconds = 0.1  # a batch takes ten seconds: however slow the machine, some of it is in hand
    world.write(range(200), times=2, erased=5)
    world.start()
    eventually(lambda: world.crm.asked >= 20, 60, "20 calls")
    sandbox.part("kafka").kill()
    try:
        world.start()
        asked = world.crm.asked
        eventually(lambda: world.crm.asked > asked, 60, "what is in hand goes on to the CRM")
        world.crm.seconds = 0.02
    finally:
        sandbox.up()
    world.settle(120)
    record_property("repeated calls", world.crm.repeated)
    assert world.crm.repeated <= 3 * http_sink.BATCH
