"""The world of a run: a sandbox of its own at free ports, topics that nobody else writes to, and what lies on them."""

import asyncio
import secrets
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.sandbox import FREE_PORTS, Sandbox
from deploy.sandbox.part import PartName
from deploy.topics.cluster import admin_client, create
from deploy.topics.declared import apply, plan
from deploy.topics.differences import MissingTopic
from ingest.reading import Reader
from ingest.records import Received
from ingest.registry import open_registry
from ingest.settings import KafkaSettings
from processors.mapping.file import Mapping as MappingFile
from tests.programs import LEADSTREAM

from .contender import Say
from .running import Command, Running, cpu_seconds

# As leadstream's topics: what a record costs its broker is the same for all.
_TOPIC = {"max.message.bytes": str(8 * 2**20)}
APP_SECRET = "bench-app-secret"
VERIFY_TOKEN = "bench-verify-token"


class World:
    """Lives in `folder`, with every log. Use it as a context: its sandbox ends with it."""

    def __init__(self, folder: Path, say: Say, needs: Collection[PartName] = ("kafka", "registry")) -> None:
        self.folder = folder
        self.say = say
        self._needs = needs
        self.sandbox = Sandbox(folder / "sandbox", FREE_PORTS)
        self._numbers = count(1)
        self._reader: Reader | None = None

    def __enter__(self) -> Self:
        self.say(f"starting {' and '.join(self._needs)}")
        try:
            self.sandbox.up(self._needs)
        except BaseException:
            self.sandbox.down()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._reader is not None:
            self._reader.close()
        self.sandbox.part("kafka").resume()
        self.sandbox.down()

    @property
    def bootstrap(self) -> str:
        """`KAFKA_BOOTSTRAP_SERVERS`."""
        return self.sandbox.env()["KAFKA_BOOTSTRAP_SERVERS"]

    @property
    def registry(self) -> str:
        """`REGISTRY_URL`."""
        return self.sandbox.env()["REGISTRY_URL"]

    def prefix(self) -> str:
        """A `TOPIC_PREFIX` that was never used."""
        return f"b{secrets.token_hex(4)}."

    def topic(self, partitions: int = 6) -> str:
        """A new topic of no declaration, for peers."""
        name = f"{self.prefix()}topic"
        self.create(name, partitions)
        return name

    def create(self, topic: str, partitions: int) -> None:
        """Makes a topic of a name that was never used."""
        missing = MissingTopic(name=topic, partitions=partitions, replication=1, config=_TOPIC)
        create(admin_client(self.kafka()), [missing])

    def delete(self, prefix: str) -> None:
        """Every topic under a prefix, so that what was written does not pile up on the disk."""
        cluster = admin_client(self.kafka())
        names = [name for name in cluster.list_topics(timeout=15).topics if name.startswith(prefix)]
        for done in cluster.delete_topics(names).values() if names else ():
            done.result(15)

    def declared_topics(
        self, prefix: str, *, partitions: int | None = None, mappings: tuple[MappingFile, ...] = ()
    ) -> None:
        """Everything that leadstream declares under a new prefix, as `topics apply` makes it, schemas included.

        `partitions` are those of every topic that has more than one, where others than declared are wanted.
        """

        async def make() -> None:
            cluster = admin_client(self.kafka())
            async with open_registry(self.registry) as registry:
                wanted = await plan(cluster, registry, mappings=mappings, prefix=prefix)
                if partitions:
                    wanted = [
                        replace(each, partitions=partitions)
                        if isinstance(each, MissingTopic) and each.partitions > 1
                        else each
                        for each in wanted
                    ]
                left = await apply(wanted, cluster, registry)
                assert not left, [each.sentence for each in left]

        asyncio.run(make())

    def kafka(self, prefix: str = "") -> KafkaSettings:
        return KafkaSettings(kafka_bootstrap_servers=self.bootstrap, topic_prefix=prefix)

    def settings(self, prefix: str = "") -> dict[str, str]:
        """What every program of ours needs in its environment; the Graph API is the suite's own stub."""
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap,
            "REGISTRY_URL": self.registry,
            "TOPIC_PREFIX": prefix,
            "META_APP_SECRETS": APP_SECRET,
            "META_VERIFY_TOKEN": VERIFY_TOKEN,
        }

    def ours(self, *arguments: str) -> Command:
        """A command of ours as a user starts it."""
        return Command(arguments=(str(LEADSTREAM), *arguments))

    def start(self, command: Command, name: str, environment: Mapping[str, str] | None = None) -> Running:
        """Starts a program; its log is in the folder, under its name. End it: it is a context."""
        log = self.folder / f"{next(self._numbers):03}-{name}.log"
        return Running(command.with_environment(**(environment or {})), log)

    def records_on(self, topic: str) -> int:
        """How many records were ever put on a topic (its end offsets); its name has its prefix."""
        return sum(last for _, last in self._reading().bounds(topic).values())

    def read(self, topic: str) -> Iterator[Received]:
        """Every record of a topic, up to its end as it is now. One reading at a time."""
        return self._reading().read(topic)

    def broker_cpu_seconds(self) -> float:
        """What the broker has used since it began: name its share where cores are short."""
        pid = self.sandbox.part("kafka").pid
        return cpu_seconds(pid) if pid else 0.0

    def _reading(self) -> Reader:
        if self._reader is None:
            self._reader = Reader(self.kafka())
        return self._reader
