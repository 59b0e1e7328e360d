"""A replay of the map: details records of many leads, to typed leads and to one CRM topic."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import KafkaException, Producer

from deploy.topics.cluster import admin_client
from ingest.codec import Codec
from ingest.kafka import client_options
from ingest.reading import Reader, ReadingError
from ingest.records import DETAILS, LEADS, Topics
from ingest.registry import open_registry
from processors.lead import map_lead
from processors.mapping.avro import avro_schema
from processors.mapping.file import Mapping
from processors.mapping.reading import read_folder
from processors.mapping.target import Target
from schemas import Schema, avro
from schemas.shapes import LeadDetails

from .contender import Contender
from .details import details, lead_of
from .limits import Alone, avro_alone, map_alone
from .peers.python.contenders import QUIXSTREAMS, QUIXSTREAMS_BY_HAND
from .rounds import Figures, Row, race
from .running import Broken, Command, Running
from .suite import Column, Options, Ready, Suite, prepared
from .world import World

ABOUT = """
A topic with the details of 200,000 leads, of 40 forms with eight questions each, is mapped from its first record on:
to `leads.v1`, and by a mapping file of eight fields ([sales.yaml](mappings/sales.yaml)) to one CRM topic; 12 partitions
each, acks=all, idempotent, lz4. Timed is from the 2,000th lead that is on both topics to the last one. In its first
round a contender goes through all leads, and the keys on both topics are compared with those that must be there: one
that has lost a lead is out. In further rounds it goes through the first eighth.

quixstreams is there twice. Once it calls the same pure functions as `work map` does (decode, map, encode), and differs
only in what is around them; once it is what its user would write: its own Avro with the registry, and a map by hand
that makes the same records of these forms (a test holds it to that). The limits are one process on one core without
Kafka: fastavro alone reads the details and writes both records; the functions alone are everything of `work map` but
Faust, Kafka and the headers.
"""

CASE = "details to leads.v1 and a CRM topic"
MAPPINGS = Path(__file__).with_name("mappings")
PARTITIONS = 12  # of each topic, as declared
LEADS_OF_ALL, LEADS_OF_QUICK = 200_000, 20_000
_WARM = 2_000  # leads that are mapped before the clock starts
_ALONE = 5_000  # records of a limit
_SECONDS = 900.0  # for all leads

AVRO = Contender(
    key="fastavro",
    name="fastavro alone",
    kind="limit",
    made_of="fastavro",
    promises="no Kafka, no mapping",
    prepare=lambda _: Command(arguments=()),
)
FUNCTIONS = Contender(
    key="functions",
    name="our pure functions alone",
    kind="limit",
    made_of="fastavro, orjson, phonenumbers",
    promises="no Kafka",
    prepare=lambda _: Command(arguments=()),
)


def run(world: World, options: Options) -> Iterator[Row]:
    ready, absent = prepared((_ours(world), QUIXSTREAMS, QUIXSTREAMS_BY_HAND, AVRO, FUNCTIONS), world, options)
    yield from absent
    with Reader(world.kafka()) as reader:
        replay = _Replay(world, reader, ready, LEADS_OF_QUICK if options.quick else LEADS_OF_ALL)
        replay.prepare()
        yield from race(CASE, [each.contender for each in ready], options.rounds, replay.measure)


def _ours(world: World) -> Contender:
    return Contender(
        key="leadstream",
        name="leadstream work map",
        kind="ours",
        made_of="faust-streaming, aiokafka, confluent-kafka, fastavro",
        promises="at least once, order per lead, a fate for every record",
        prepare=lambda _: world.ours("work", "map"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Goals:
    """Where a contender writes, and what was there before, by partition."""

    topics: tuple[str, str]
    before: tuple[dict[int, int], dict[int, int]]


class _Replay:
    """One topic of details, from which every contender reads."""

    def __init__(self, world: World, reader: Reader, ready: list[Ready], count: int) -> None:
        self._world = world
        self._reader = reader
        self._commands = {each.contender.key: each.command for each in ready}
        self._count = count
        self._prefix = world.prefix()
        [loaded] = read_folder(MAPPINGS)
        self._mapping: Mapping = loaded.mapping
        self._frames: list[bytes] = []
        self._schemas: dict[str, str] = {}
        self._compared: set[str] = set()

    def prepare(self) -> None:
        """The topics, the schemas and the details."""
        self._world.declared_topics(self._prefix, mappings=(self._mapping,))
        self._schemas = asyncio.run(self._schema_ids())
        self._world.say(f"writing the details of {self._count:,} leads")
        self._fill()

    def measure(self, contender: Contender) -> Figures:
        match contender.key:
            case AVRO.key:
                return _figures(self._avro_alone())
            case FUNCTIONS.key:
                return _figures(map_alone(self._frames, self._mapping))
        whole = contender.key not in self._compared
        self._compared.add(contender.key)
        with self._begun(contender) as (running, goals):
            used = self._timed(running, goals, self._count if whole else self._count // 8)
        if whole:
            for topic, before in zip(goals.topics, goals.before, strict=True):
                self._compare(topic, before)
        return used

    def _timed(self, running: Running, goals: _Goals, until: int) -> Figures:
        seen = 0

        def mapped() -> int:
            nonlocal seen
            with suppress(ReadingError):  # a broker that is short of CPU is asked again
                seen = min(
                    sum(last - before[number] for number, last in self._ends(topic).items())
                    for topic, before in zip(goals.topics, goals.before, strict=True)
                )
            return seen

        running.wait_until(lambda: mapped() >= _WARM, f"the first {_WARM} leads", seconds=120)
        first = mapped()
        with running.measured() as used:
            running.wait_until(lambda: mapped() >= until, f"{until} leads on both topics", seconds=_SECONDS)
        return _figures(Alone(done=until - first, seconds=used.seconds, cpu_seconds=used.cpu_seconds))

    @contextmanager
    def _begun(self, contender: Contender) -> Iterator[tuple[Running, _Goals]]:
        if contender.kind == "ours":
            self._forget_offsets()
            topics = self._topics(self._prefix)
            goals = _Goals(topics=topics, before=(self._ends(topics[0]), self._ends(topics[1])))
            environment = self._world.settings(self._prefix) | {"MAPPING_DIR": str(MAPPINGS)}
        else:
            prefix = self._world.prefix()
            topics = self._topics(prefix)
            for topic in topics:
                self._world.create(topic, PARTITIONS)
                self._wait_for_leaders(topic)
            nothing = dict.fromkeys(range(PARTITIONS), 0)
            goals = _Goals(topics=topics, before=(nothing, nothing))
            environment = {
                "KAFKA_BOOTSTRAP_SERVERS": self._world.bootstrap,
                "REGISTRY_URL": self._world.registry,
                "GROUP": f"{prefix}group",
                "IN": f"{self._prefix}{DETAILS}",
                "OUT": topics[0],
                "OUT_CRM": topics[1],
                "MAPPING_DIR": str(MAPPINGS),
                **self._schemas,
            }
        with self._world.start(self._commands[contender.key], contender.key, environment) as running:
            yield running, goals

    def _topics(self, prefix: str) -> tuple[str, str]:
        return f"{prefix}{LEADS}", f"{prefix}{self._mapping.topic}"

    def _ends(self, topic: str) -> dict[int, int]:
        return {number: last for number, (_, last) in self._reader.bounds(topic).items()}

    def _wait_for_leaders(self, topic: str) -> None:
        """Of a topic that was just made: the brokers tell of it before every partition has its leader."""
        end = time.monotonic() + 30
        while time.monotonic() < end:
            with suppress(ReadingError):
                self._reader.bounds(topic)
                return
            time.sleep(0.1)
        raise Broken(f"{topic} has no leaders within 30 s")

    def _forget_offsets(self) -> None:
        """Ours begins at the first record where its group has no offset: as after a replay of all."""
        group = Topics(prefix=self._prefix).group("map")
        cluster = admin_client(self._world.kafka())
        [deleted] = cluster.delete_consumer_groups([group]).values()
        with suppress(KafkaException):  # of the first round there is none
            deleted.result(15)

    def _compare(self, topic: str, before: dict[int, int]) -> None:
        missing = {lead_of(number).encode() for number in range(self._count)}
        for received in self._reader.read(topic, before):
            missing.discard(received.key or b"")
        if missing:
            raise Broken(f"{len(missing)} of {self._count} leads are not on {topic}")

    def _fill(self) -> None:
        codec: Codec[LeadDetails] = Codec("LeadDetails", schema_id=int(self._schemas["DETAILS_SCHEMA"]))
        producer = Producer(
            client_options(self._world.kafka())
            | {"partitioner": "murmur2_random", "compression.type": "lz4", "enable.idempotence": True, "linger.ms": 20}
        )
        topic = f"{self._prefix}{DETAILS}"
        for made in details(self._count):
            frame = codec.encode(made.details)
            if len(self._frames) < _ALONE:
                self._frames.append(frame)
            while True:
                try:
                    producer.produce(topic, key=made.lead_id, value=frame, headers=list(made.headers))
                    break
                except BufferError:
                    producer.poll(0.1)
            producer.poll(0)
        producer.flush()

    def _avro_alone(self) -> Alone:
        target = Target(self._mapping)
        codec: Codec[LeadDetails] = Codec("LeadDetails", schema_id=int(self._schemas["DETAILS_SCHEMA"]))
        leads = [map_lead(codec.decode(frame)) for frame in self._frames]
        return avro_alone(self._frames, leads, [target.map(lead).record for lead in leads], self._mapping)

    async def _schema_ids(self) -> dict[str, str]:
        names = Topics(prefix=self._prefix)
        wanted: dict[str, tuple[Schema, str]] = {
            "DETAILS_SCHEMA": (avro("LeadDetails"), DETAILS),
            "LEAD_SCHEMA": (avro("Lead"), LEADS),
            "CRM_SCHEMA": (avro_schema(self._mapping), self._mapping.topic),
        }
        async with open_registry(self._world.registry) as registry:
            return {
                name: str(await registry.id_of(names.subject(topic), schema))
                for name, (schema, topic) in wanted.items()
            }


def _figures(done: Alone) -> Figures:
    return {
        "cpu": done.cpu_seconds / done.done,
        "per_cpu": done.done / done.cpu_seconds,
        "rate": done.done / done.seconds,
    }


SUITE = Suite(
    name="mapping",
    title="Mapping replay",
    about=ABOUT,
    columns=(
        Column(figure="cpu", title="CPU ms per record", better="less", digits=4, factor=1000),
        Column(figure="per_cpu", title="records per CPU-second", better="more"),
        Column(figure="rate", title="records/s", better="more"),
    ),
    run=run,
    charted=CASE,
)
