"""What leadstream promises to those who read its topics, read from the files beside this one.

Nothing here talks to a broker or encodes a record, and nothing outside the standard library is imported.
"""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

__all__ = ["Schema", "Topic", "avro", "topics"]

Schema = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """A topic as `topics.toml` declares it, its name without the prefix of a test or a tenant."""

    name: str
    doc: str
    key: str
    value: str  # json, bytes, or the name of an Avro schema
    partitions: int
    retention: timedelta | None  # None: the last value of each key is kept for ever
    config: Mapping[str, str]  # Kafka's topic settings, those of cleanup and retention among them
    writers: tuple[str, ...]
    readers: tuple[str, ...]

    @property
    def schema(self) -> str | None:
        """The name of the value's Avro schema, for `avro`; None where the value is not Avro."""
        return None if self.value in {"json", "bytes"} else self.value


@cache
def topics() -> Mapping[str, Topic]:
    """Every declared topic by its name, in the order of the file."""
    document = tomllib.loads(_read("topics.toml"))
    every, compacted = document["every"], document["compacted"]
    return MappingProxyType({name: _topic(name, entry, every, compacted) for name, entry in document["topics"].items()})


@cache
def avro(name: str) -> Schema:
    """The Avro schema `name`, such as `Lead`, as parsed JSON. `FileNotFoundError` if there is none."""
    schema: Schema = json.loads(_read(f"{name}.avsc"))
    return schema


# `Any`: the file is ours, and a contract test holds each entry to its form.
def _topic(name: str, entry: dict[str, Any], every: dict[str, str], compacted: dict[str, str]) -> Topic:
    retention = _span(entry["retention"]) if "retention" in entry else None
    settings = {"cleanup.policy": entry["cleanup"], **every}
    if retention is not None:
        settings["retention.ms"] = entry["retention"]
    if "compact" in entry["cleanup"]:
        settings |= compacted
    settings |= entry.get("config", {})
    return Topic(
        name=name,
        doc=entry["doc"],
        key=entry["key"],
        value=entry["value"],
        partitions=entry["partitions"],
        retention=retention,
        config=MappingProxyType(
            {
                setting: str(_span(value) // timedelta(milliseconds=1)) if setting.endswith(".ms") else value
                for setting, value in settings.items()
            }
        ),
        writers=tuple(entry["writers"]),
        readers=tuple(entry["readers"]),
    )


def _span(text: str) -> timedelta:
    """`90d`, `12h`, `30m` or `5s`."""
    unit = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}[text[-1]]
    return timedelta(**{unit: int(text[:-1])})


def _read(name: str) -> str:
    return files(__name__).joinpath(name).read_text(encoding="utf-8")
