"""Every door that is raced, and how one is started for a topic of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ingest.records import RAW
from tests.door import create_topics

from .contender import Contender
from .running import Running, free_port
from .sender import takes_leads
from .suite import Ready
from .world import APP_SECRET, World

PARTITIONS = 12  # of raw, as declared


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """One that takes leads on `port`, once it is up, and writes them to `topic`."""

    running: Running
    port: int
    topic: str

    def wait_until_up(self) -> None:
        """Returns when it has answered 200 to a lead; Broken after a minute."""
        self.running.wait_until(lambda: takes_leads(self.port), "a signed lead is answered 200")


@contextmanager
def starting(each: Ready, world: World) -> Iterator[Door]:
    """A door over topics that nobody else writes to; they are deleted when it is closed."""
    prefix, port = world.prefix(), free_port()
    topic = f"{prefix}{RAW}"
    if each.contender.kind == "ours":
        create_topics(world.kafka(prefix))
    else:
        world.create(topic, PARTITIONS)
    environment = world.settings(prefix) | {
        "INGEST_PORT": str(port),
        "PORT": str(port),
        "TOPIC": topic,
        "APP_SECRET": APP_SECRET,
    }
    with world.start(each.command, each.contender.key, environment) as running:
        yield Door(running=running, port=port, topic=topic)
    world.delete(prefix)


@contextmanager
def opened(each: Ready, world: World) -> Iterator[Door]:
    """The same, when it is up; Broken where it does not come up."""
    with starting(each, world) as door:
        door.wait_until_up()
        yield door


# Room for 64 deliveries of 1,000 changes; no peer bounds what it holds in memory, nor gives up before ten seconds.
_ROOM = {"INGEST_MAX_IN_FLIGHT": str(384 * 2**20), "INGEST_ACK_TIMEOUT": "8"}


def ours(world: World) -> Contender:
    """The webhook service, as a user starts it who expects such loads."""
    return Contender(
        key="leadstream",
        name="leadstream serve",
        kind="ours",
        made_of="aiohttp, confluent-kafka",
        promises="acks=all, idempotent, one batch in flight; every limit of the door",
        prepare=lambda _: world.ours("serve").with_environment(**_ROOM),
    )
