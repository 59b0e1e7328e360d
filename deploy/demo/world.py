"""Where the demo takes place: its own sandbox, or the user's Kafka and registry; under a fresh prefix each time."""

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import KafkaError, KafkaException
from pydantic import SecretStr

import schemas
from deploy.account.positions import READS
from deploy.sandbox import FREE_PORTS, PartName, Progress, Sandbox, given_by_settings
from deploy.topics import ClusterError, admin_client, apply, plan
from ingest.records import Topics
from ingest.registry import open_registry
from ingest.settings import KafkaSettings, RegistrySettings, read
from processors.mapping.reading import read_folder

from . import sales

PREFIX = "demo-"

_PATIENCE = 15.0  # seconds for a broker to answer


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Settings in both forms, for us and as the environment of the programs; which parts are the user's own; and the
    mapping file, in a folder of its own; and the demo's folder.
    """

    kafka: KafkaSettings
    registry: RegistrySettings
    environment: Mapping[str, str]
    yours: frozenset[PartName]
    mapping: Path
    home: Path

    @property
    def topics(self) -> Topics:
        return Topics(prefix=self.kafka.topic_prefix)

    @property
    def graph_url(self) -> str:
        return self.environment["META_GRAPH_URL"]


def open_world(home: Path, progress: Progress) -> World:
    """Starts what does not run, and lays out the mapping file. SandboxError or SettingsError when it cannot be had."""
    sandbox = Sandbox(home / "sandbox", FREE_PORTS, given_by_settings())
    sandbox.up((), progress)
    found, yours = sandbox.env(), frozenset(part.name for part in sandbox.status() if part.yours)
    prefix = f"{PREFIX}{secrets.token_hex(3)}."
    servers, url = found["KAFKA_BOOTSTRAP_SERVERS"], found["REGISTRY_URL"]
    # Of what is the user's own, the login too; ours has none.
    kafka = (
        read(KafkaSettings).model_copy(update={"kafka_bootstrap_servers": servers, "topic_prefix": prefix})
        if "kafka" in yours
        else KafkaSettings(kafka_bootstrap_servers=servers, kafka_security_protocol="PLAINTEXT", topic_prefix=prefix)
    )
    registry = (
        read(RegistrySettings)
        if "registry" in yours
        else RegistrySettings(registry_url=url, registry_username="", registry_password=SecretStr(""))
    )
    mapping = sales.lay_out(home / "mappings")
    door = {"INGEST_HOST": "127.0.0.1", "INGEST_PORT": "0", "MAPPING_DIR": str(mapping.parent)}
    # Nobody watches a demo for the minute that usually lies between two looks at a page's access.
    impatience = {"ACCESS_CHECK": "1"}
    return World(
        kafka=kafka,
        registry=registry,
        environment={**found, **_as_environment(kafka), **_as_environment(registry), **door, **impatience},
        yours=yours,
        mapping=mapping,
        home=home,
    )


def apply_topics(world: World) -> Sequence[str]:
    """Makes topics and schemas as declared, by the mapping file too, and tells each difference that there was.

    ClusterError or RegistryError when that cannot be.
    """

    async def made() -> Sequence[str]:
        mappings = [loaded.mapping for loaded in read_folder(world.mapping.parent)]
        cluster, settings = admin_client(world.kafka), world.registry
        async with open_registry(
            settings.registry_url, username=settings.registry_username, password=settings.registry_password
        ) as registry:
            differences = await plan(cluster, registry, mappings=mappings, prefix=world.kafka.topic_prefix)
            for difference in await apply(differences, cluster, registry):
                raise ClusterError(difference.sentence)
            return [difference.sentence for difference in differences]

    return asyncio.run(made())


def delete_topics(world: World) -> None:
    """From a cluster that stays: topics and groups under our prefix, which nobody else has. ClusterError if not all."""
    cluster = admin_client(world.kafka)
    groups = [world.topics.group(worker) for worker in READS]
    answers = [
        *cluster.delete_topics([world.topics(name) for name in (*schemas.topics(), sales.TOPIC)]).values(),
        *cluster.delete_consumer_groups(groups).values(),
    ]
    try:
        failed = [error for answer in answers if (error := answer.exception(_PATIENCE)) is not None]
    except TimeoutError as error:
        failed = [error]
    if any(not _was_never_there(error) for error in failed):
        raise ClusterError(f"not every topic and group that begins with {world.kafka.topic_prefix} could be deleted")


def _was_never_there(error: BaseException) -> bool:
    never = (KafkaError.GROUP_ID_NOT_FOUND, KafkaError.UNKNOWN_TOPIC_OR_PART)
    return isinstance(error, KafkaException) and error.args[0].code() in never


def _as_environment(settings: KafkaSettings | RegistrySettings) -> dict[str, str]:
    """By the names the programs read; a path is made absolute, as they run elsewhere."""

    def text(value: object) -> str:
        match value:
            case SecretStr():
                return value.get_secret_value()
            case Path():
                return str(value.absolute())
            case _:
                return str(value)

    return {name.upper(): text(value) for name, value in settings if value is not None}
