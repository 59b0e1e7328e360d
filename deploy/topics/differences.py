"""Every way in which a topic or a subject can differ from its declaration. Performs no I/O of its own."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import schemas

COMPATIBILITY = "BACKWARD_TRANSITIVE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One way in which the world is not as declared. `name` is a topic or a subject, its prefix included."""

    name: str
    mendable: ClassVar[bool] = True

    @property
    def sentence(self) -> str:
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingTopic(Difference):
    partitions: int
    replication: int
    config: Mapping[str, str]

    @property
    def sentence(self) -> str:
        return f"{self.name}: to create, {self.partitions} partitions, {self.replication} replicas"


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongPartitions(Difference):
    declared: int
    found: int
    mendable: ClassVar[bool] = False

    @property
    def sentence(self) -> str:
        return (
            f"{self.name}: has {self.found} partitions, {self.declared} are declared. A change would send keys "
            "elsewhere and break their order, so it is left alone: drain the topic and create it anew, or live with it"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongSetting(Difference):
    setting: str
    declared: str
    found: str

    @property
    def sentence(self) -> str:
        return f"{self.name}: {self.setting} is {self.found}, to become {self.declared}"


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongCompatibility(Difference):
    found: str | None

    @property
    def sentence(self) -> str:
        return f"{self.name}: compatibility is {self.found or 'not set'}, to become {COMPATIBILITY}"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnregisteredSchema(Difference):
    schema: str

    @property
    def sentence(self) -> str:
        return f"{self.name}: schema {self.schema} of this version is to be registered"


@dataclass(frozen=True, slots=True, kw_only=True)
class IncompatibleSchema(Difference):
    schema: str
    objections: tuple[str, ...]
    mendable: ClassVar[bool] = False

    @property
    def sentence(self) -> str:
        return (
            f"{self.name}: the registry refuses schema {self.schema} of this version ({'; '.join(self.objections)}). "
            "Readers of it could not read what was written before: give new fields defaults, or begin a new topic (v2)"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundTopic:
    """A topic as the cluster has it, with all its settings."""

    partitions: int
    config: Mapping[str, str]

    def has(self, setting: str, value: str) -> bool:
        """Whether a setting has a value; cleanup.policy is a set, and a broker may tell it in another order."""
        return set(self.config.get(setting, "").split(",")) == set(value.split(","))


def topic_differences(
    topic: schemas.Topic, *, name: str, found: FoundTopic | None, replication: int
) -> Iterator[Difference]:
    """How a topic differs from its declaration; `name` is its name on this cluster."""
    if found is None:
        yield MissingTopic(name=name, partitions=topic.partitions, replication=replication, config=dict(topic.config))
        return
    if found.partitions != topic.partitions:
        yield WrongPartitions(name=name, declared=topic.partitions, found=found.partitions)
    for setting, declared in topic.config.items():
        if not found.has(setting, declared):
            value = found.config.get(setting, "not known to this broker")
            yield WrongSetting(name=name, setting=setting, declared=declared, found=value)
