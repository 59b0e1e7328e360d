"""The cluster and the registry, held against what `schemas` declares: the differences, and those mended that can be.

Nothing else in leadstream creates a topic or registers a schema. What would move a key to another partition, or break a
reader, is never done: it is named, with what to do about it.
"""

from collections.abc import Sequence

from confluent_kafka.admin import AdminClient

import schemas
from ingest.records import Topics
from ingest.registry import Incompatible, NotRegistered, Registry

from . import cluster as kafka
from .differences import (
    COMPATIBILITY,
    Difference,
    IncompatibleSchema,
    MissingTopic,
    UnregisteredSchema,
    WrongCompatibility,
    WrongSetting,
    topic_differences,
)

_MOST_REPLICAS = 3


async def plan(
    cluster: AdminClient, registry: Registry, *, prefix: str = "", replication: int | None = None
) -> list[Difference]:
    """Every difference, topics before subjects. ClusterError or RegistryError where one of them cannot be asked.

    A new topic is to have `replication` copies: 3 if not said, or one for each of fewer brokers.
    """
    names = Topics(prefix=prefix)
    brokers, found = kafka.look(cluster, [names(name) for name in schemas.topics()])
    differences: list[Difference] = []
    for topic in schemas.topics().values():
        name = names(topic.name)
        differences += topic_differences(
            topic, name=name, found=found.get(name), replication=replication or min(_MOST_REPLICAS, brokers)
        )
    for topic in schemas.topics().values():
        if topic.schema:
            subject = names.subject(topic.name)
            differences += await _subject_differences(registry, subject=subject, schema=topic.schema)
    return differences


async def apply(differences: Sequence[Difference], cluster: AdminClient, registry: Registry) -> list[Difference]:
    """Mends what can be mended and returns what is left. Doing it again does no harm."""
    kafka.create(cluster, [each for each in differences if isinstance(each, MissingTopic)])
    kafka.configure(cluster, [each for each in differences if isinstance(each, WrongSetting)])
    left: list[Difference] = []
    for difference in differences:
        match difference:
            case WrongCompatibility(name=subject):
                await registry.set_compatibility(subject, COMPATIBILITY)
            case UnregisteredSchema(name=subject, schema=schema):
                try:
                    await registry.register(subject, schemas.avro(schema))
                except Incompatible as refusal:  # under the rule that was set only now
                    left.append(IncompatibleSchema(name=subject, schema=schema, objections=(str(refusal),)))
            case _ if not difference.mendable:
                left.append(difference)
    return left


async def _subject_differences(registry: Registry, *, subject: str, schema: str) -> list[Difference]:
    """How a subject differs from its declaration, in the order in which it has to be mended."""
    found: list[Difference] = []
    rule = await registry.compatibility(subject)
    if rule != COMPATIBILITY:
        found.append(WrongCompatibility(name=subject, found=rule))
    try:
        await registry.id_of(subject, schemas.avro(schema))
    except NotRegistered:
        objections = await registry.objections(subject, schemas.avro(schema))
        if objections:
            found.append(IncompatibleSchema(name=subject, schema=schema, objections=objections))
        else:
            found.append(UnregisteredSchema(name=subject, schema=schema))
    return found
