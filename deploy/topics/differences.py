"""Every way in which a topic or a subject can differ from its declaration. Performs no I/O of its own."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, cast

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
    """`changes` are those from the newest schema there is, None where there is none yet; `target` is the mapping
    file's target and version, where one made it.
    """

    schema: schemas.Schema
    changes: tuple[str, ...] | None = None
    target: tuple[str, int] | None = None

    @property
    def sentence(self) -> str:
        if self.changes is None:
            return f"{self.name}: schema {self.schema['name']} is to be registered, the first one"
        return f"{self.name}: schema {self.schema['name']} is to be registered anew: {'; '.join(self.changes)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class IncompatibleSchema(Difference):
    """As the one above, and what the registry has against it."""

    schema: schemas.Schema
    objections: tuple[str, ...]
    changes: tuple[str, ...] | None = None
    target: tuple[str, int] | None = None
    mendable: ClassVar[bool] = False

    @property
    def sentence(self) -> str:
        changes = f" ({'; '.join(self.changes)})" if self.changes else ""
        return (
            f"{self.name}: the registry refuses schema {self.schema['name']} of this version{changes}:"
            f" {'; '.join(self.objections)}. Readers of it could not read what was written before: {self._way}"
        )

    @property
    def _way(self) -> str:
        if self.target is None:
            return "give new fields defaults, or begin a new topic (v2)"
        name, version = self.target
        return (
            f"leave {name}.v{version} as it was, and put the change into a copy of its file with"
            f" `version: {version + 1}`; that makes a v{version + 1} beside it, and the old file goes when its readers"
            " have moved"
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


def schema_changes(before: schemas.Schema, after: schemas.Schema) -> tuple[str, ...]:
    """How one record's schema differs from the one before, field by field, for a person."""
    old, new = _fields(before), _fields(after)
    found = [f"+ {name} ({_type(field)})" for name, field in new.items() if name not in old]
    found += [f"- {name} ({_type(field)})" for name, field in old.items() if name not in new]
    found += type_changes(before, after)
    found += [
        f"{name}: its doc or default"
        for name in new
        if name in old and old[name] != new[name] and _same_type(old[name], new[name])
    ]
    if not found and list(old) != list(new):
        found.append("the order of its fields")
    return tuple(found or ["its doc"])


def type_changes(before: schemas.Schema, after: schemas.Schema) -> tuple[str, ...]:
    """Fields that are there in both, and are of another type; what is within a type of several fields counts too."""
    old, new = _fields(before), _fields(after)
    return tuple(
        f"{name}: {was} becomes {becomes}" if was != becomes else f"{name}: what a {was} holds"
        for name in new
        if name in old and not _same_type(old[name], new[name])
        for was, becomes in [(_type(old[name]), _type(new[name]))]
    )


def _same_type(before: Mapping[str, object], after: Mapping[str, object]) -> bool:
    return _shape(before["type"]) == _shape(after["type"])


def _fields(schema: schemas.Schema) -> Mapping[str, Mapping[str, object]]:
    fields = cast("list[dict[str, Any]]", schema.get("fields") or [])  # Any: Avro's JSON is as it is
    return {field["name"]: field for field in fields}


def _shape(kind: object) -> object:
    """A type without its docs; a registry may have put its keys in another order."""
    match kind:
        case dict():
            return {name: _shape(value) for name, value in kind.items() if name != "doc"}
        case list():
            return [_shape(each) for each in kind]
        case _:
            return kind


def _type(field: Mapping[str, object]) -> str:
    """As short as it can be said: that it may be null goes without saying."""
    kind = field["type"]
    if isinstance(kind, list) and kind[:1] == ["null"] and len(kind) == 2:  # noqa: PLR2004  null and one more
        kind = kind[1]
    match kind:
        case str():
            return kind
        case {"logicalType": str(name)} | {"name": str(name)}:
            return name
        case {"type": "array", "items": str(items)}:
            return f"array of {items}"
        case _:
            return json.dumps(_shape(kind), separators=(",", ":"))
