"""What the cluster has, and the changes it is asked for: Kafka's admin API, its errors in sentences."""

import time
from collections.abc import Callable, Sequence

from confluent_kafka import KafkaException

# Public, but brought into the module without saying so.
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType  # type: ignore[attr-defined]

from ingest.kafka import client_options
from ingest.settings import KafkaSettings

from .differences import FoundTopic, MissingTopic, WrongSetting

_PATIENCE = 15.0  # seconds for a broker to answer


class ClusterError(Exception):
    """The cluster did not answer, or refused; the text says which and what to look at."""


def admin_client(settings: KafkaSettings) -> AdminClient:
    return AdminClient(client_options(settings) | {"log_level": 0})  # its errors reach us as exceptions


def look(cluster: AdminClient, names: Sequence[str]) -> tuple[int, dict[str, FoundTopic]]:
    """How many brokers there are, and those of the named topics that exist."""
    try:
        metadata = cluster.list_topics(timeout=_PATIENCE)
        present = [name for name in names if name in metadata.topics]
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in present]
        asked = cluster.describe_configs(resources) if resources else {}
        config = {resource.name: answer.result(_PATIENCE) for resource, answer in asked.items()}
    except (KafkaException, TimeoutError) as error:
        raise _translated(error) from None
    return len(metadata.brokers), {
        name: FoundTopic(
            partitions=len(metadata.topics[name].partitions),
            config={setting: entry.value or "" for setting, entry in config[name].items()},
        )
        for name in present
    }


def create(cluster: AdminClient, missing: Sequence[MissingTopic]) -> None:
    """Returns when the cluster shows the topics."""
    if not missing:
        return
    wanted = [
        NewTopic(
            each.name, num_partitions=each.partitions, replication_factor=each.replication, config=dict(each.config)
        )
        for each in missing
    ]
    try:
        for answer in cluster.create_topics(wanted).values():
            answer.result(_PATIENCE)
    except (KafkaException, TimeoutError) as error:
        raise _translated(error) from None
    names = [each.name for each in missing]
    _wait_until(lambda: look(cluster, names)[1].keys() == set(names))


def configure(cluster: AdminClient, wrong: Sequence[WrongSetting]) -> None:
    """Returns when the cluster shows the settings."""
    by_topic: dict[str, list[ConfigEntry]] = {}
    for each in wrong:
        entry = ConfigEntry(each.setting, each.declared, incremental_operation=AlterConfigOpType.SET)
        by_topic.setdefault(each.name, []).append(entry)
    resources = [
        ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries) for name, entries in by_topic.items()
    ]
    if not resources:
        return
    try:
        for answer in cluster.incremental_alter_configs(resources).values():
            answer.result(_PATIENCE)
    except (KafkaException, TimeoutError) as error:
        raise _translated(error) from None

    def done() -> bool:
        _, found = look(cluster, list(by_topic))
        return all(found[each.name].has(each.setting, each.declared) for each in wrong)

    _wait_until(done)


def _wait_until(seen: Callable[[], bool]) -> None:
    """Until the brokers tell what the controller has acknowledged; one that is asked at once may not have heard."""
    deadline = time.monotonic() + _PATIENCE
    while not seen():
        if time.monotonic() > deadline:
            raise ClusterError(f"Kafka took the change and does not show it after {_PATIENCE:g} s: plan again later.")
        time.sleep(0.05)


def _translated(error: KafkaException | TimeoutError) -> ClusterError:
    said = error.args[0].str().rstrip(".") if isinstance(error, KafkaException) else "no answer in time"
    return ClusterError(f"Kafka: {said}. Is KAFKA_BOOTSTRAP_SERVERS right, is the cluster up, and may we do this?")
