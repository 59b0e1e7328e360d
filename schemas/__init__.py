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

__all__ = ["Schema", "Topic", "avro", "crm_topic", "topics"]

Schema = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """A topic as `topics.toml` declares it, its name without the prefix of a test or a tenant."""

    name: str
    doc: str
    key: str
    value: str  # json, bytes, mapping (Avro, by the target's mapping file), or the name of an Avro schema
    partitions: int
    retention: timedelta | None  # None: the last value of each key is kept for ever
    config: Mapping[str, str]  # Kafka's topic settings, those of cleanup and retention among them
    writers: tuple[str, ...]
    readers: tuple[str, ...]

    @property
    def schema(self) -> str | None:
        """The name of the value's Avro schema, for `avro`; None where the value is not Avro."""
        return None if self.value in {"json", "bytes", "mapping"} else self.value


@cache
def topics() -> Mapping[str, Topic]:
    """Every declared topic by its name, in the order of the file."""
    document = _document()
    return MappingProxyType({name: _topic(name, entry, document) for name, entry in document["topics"].items()})


def crm_topic(name: str) -> Topic:
    """The topic of a mapping file, such as `leads.crm.sales.v1`: all of them are declared alike."""
    document = _document()
    return _topic(name, document["crm"], document)


@cache
def avro(name: str) -> Schema:
    """The Avro schema `name`, such as `Lead`, as parsed JSON. `FileNotFoundError` if there is none."""
    schema: Schema = json.loads(_read(f"{name}.avsc"))
    return schema


# `Any`: the file is ours, and a contract test holds each entry to its form.
@cache
def _document() -> dict[str, Any]:
    return tomllib.loads(_read("topics.toml"))


def _topic(name: str, entry: dict[str, Any], document: dict[str, Any]) -> Topic:
    retention = _span(entry["retention"]) if "retention" in entry else None
    settings = {"cleanup.policy": entry["cleanup"], **document["every"]}
    if retention is not None:
        settings["retention.ms"] = entry["retention"]
    if "compact" in entry["cleanup"]:
        settings |= document["compacted"]
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
