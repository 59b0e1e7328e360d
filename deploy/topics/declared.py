"""The cluster and the registry, held against what `schemas` declares: the differences, and those mended that can be.

Nothing else in leadstream creates a topic or registers a schema. What would move a key to another partition, or break a
reader, is never done: it is named, with what to do about it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from confluent_kafka.admin import AdminClient

import schemas
from ingest.records import Topics
from ingest.registry import Incompatible, NotRegistered, Registry
from processors.mapping.avro import avro_schema
from processors.mapping.file import Mapping

from . import cluster as kafka
from .differences import (
    COMPATIBILITY,
    Difference,
    IncompatibleSchema,
    MissingTopic,
    UnregisteredSchema,
    WrongCompatibility,
    WrongSetting,
    schema_changes,
    topic_differences,
    type_changes,
)

_MOST_REPLICAS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class _Declared:
    topic: schemas.Topic
    schema: schemas.Schema | None
    target: tuple[str, int] | None = None


async def plan(
    cluster: AdminClient,
    registry: Registry,
    *,
    mappings: Iterable[Mapping] = (),
    prefix: str = "",
    replication: int | None = None,
) -> list[Difference]:
    """Every difference, topics before subjects. ClusterError or RegistryError where one of them cannot be asked.

    `mappings` declare a topic and a schema each. A new topic is to have `replication` copies: 3 if not said, or one
    for each of fewer brokers.
    """
    names = Topics(prefix=prefix)
    declared = list(_declared(mappings))
    brokers, found = kafka.look(cluster, [names(each.topic.name) for each in declared])
    differences: list[Difference] = []
    for each in declared:
        name = names(each.topic.name)
        differences += topic_differences(
            each.topic, name=name, found=found.get(name), replication=replication or min(_MOST_REPLICAS, brokers)
        )
    for each in declared:
        if each.schema is not None:
            subject = names.subject(each.topic.name)
            differences += await _subject_differences(registry, subject, each.schema, each.target)
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
                    await registry.register(subject, schema)
                except Incompatible as refusal:  # under the rule that was set only now
                    left.append(_refused(difference, (str(refusal),)))
            case _ if not difference.mendable:
                left.append(difference)
    return left


def _declared(mappings: Iterable[Mapping]) -> Iterable[_Declared]:
    for topic in schemas.topics().values():
        yield _Declared(topic=topic, schema=schemas.avro(topic.schema) if topic.schema else None)
    for mapping in mappings:
        yield _Declared(
            topic=schemas.crm_topic(mapping.topic),
            schema=avro_schema(mapping),
            target=(mapping.target, mapping.version),
        )


async def _subject_differences(
    registry: Registry, subject: str, schema: schemas.Schema, target: tuple[str, int] | None
) -> list[Difference]:
    """How a subject differs from its declaration, in the order in which it has to be mended."""
    found: list[Difference] = []
    rule = await registry.compatibility(subject)
    if rule != COMPATIBILITY:
        found.append(WrongCompatibility(name=subject, found=rule))
    try:
        await registry.id_of(subject, schema)
    except NotRegistered:
        before = await registry.latest(subject)
        changes = None if before is None else schema_changes(before, schema)
        wanted = UnregisteredSchema(name=subject, schema=schema, changes=changes, target=target)
        objections = await registry.objections(subject, schema)
        # A registry lets a date become a number; who reads it as one, and the table it lies in, do not. A field that
        # was taken out has its column still.
        if target and before is not None:
            versions = await registry.versions(subject)
            changed = dict.fromkeys(change for each in versions for change in type_changes(each, schema))
            # First: a registry may refuse without a word.
            objections = tuple(f"{change}, and a field's type never changes" for change in changed) or objections
        found.append(_refused(wanted, objections) if objections else wanted)
    return found


def _refused(wanted: UnregisteredSchema, objections: tuple[str, ...]) -> IncompatibleSchema:
    return IncompatibleSchema(
        name=wanted.name, schema=wanted.schema, objections=objections, changes=wanted.changes, target=wanted.target
    )
