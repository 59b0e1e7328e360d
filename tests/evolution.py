"""Schemas that change, by the rules of schemas/README.md or against them, and what readers of other versions see."""

import copy
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import make_dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import schemas

Avro = dict[str, Any]  # Any: Avro's JSON is as it is

HISTORY = Path(str(files(schemas))) / "history"
NAMES = sorted(folder.name for folder in HISTORY.iterdir() if folder.is_dir())
LATER = "LATER"  # the symbol that every enum of a grown schema has more


def history(name: str) -> list[Avro]:
    """Every version of a schema that was ever registered, the first one first."""
    numbers = range(1, 1 + len(list((HISTORY / name).glob("*.avsc"))))
    return [json.loads((HISTORY / name / f"{number}.avsc").read_bytes()) for number in numbers]


def grown(schema: Mapping[str, object]) -> Avro:
    """A next version as the rules allow it: a field and a symbol more wherever one can be, and other docs."""
    new: Avro = copy.deepcopy(dict(schema))
    for node in _named(new):
        node["doc"] = f"{node.get('doc', '')} Said better."
        if node.get("type") == "enum":
            node["symbols"] = [*node["symbols"], LATER]
        if node.get("type") == "record":
            node["fields"].append({"name": "later", "type": ["null", "string"], "default": None, "doc": "New."})
            node["fields"].append({"name": "laters", "type": "long", "default": 7, "doc": "New, and always there."})
    return new


def objections(older: Mapping[str, object], newer: Mapping[str, object]) -> list[str]:
    """What of a newer schema is against the rules; empty if nothing."""
    return list(_objections(dict(older), dict(newer), str(older["name"])))


def seen_by(reader: object, value: Any) -> Any:
    """What a reader has of a value that was written with a schema of another version."""
    match reader:
        case {"type": "record", "fields": fields}:
            return {field["name"]: seen_by(field["type"], _given(value, field)) for field in fields}
        case {"type": "array", "items": items}:
            return [seen_by(items, item) for item in value]
        case {"type": "enum", "symbols": symbols, "default": default}:
            return value if value in symbols else default
        case _:
            return value


def typed(schema: Mapping[str, object], record: Mapping[str, Any]) -> Any:
    """The record as an instance of a class that was generated from the schema, as a typed consumer has it."""
    names = [str(field["name"]) for field in _fields(schema)]
    return make_dataclass(str(schema["name"]), names, frozen=True, slots=True, kw_only=True)(**record)


def without(schema: Mapping[str, object], *names: str) -> Avro:
    """The schema with these fields gone."""
    return {**schema, "fields": [field for field in _fields(schema) if field["name"] not in names]}


def with_field(schema: Mapping[str, object], name: str, /, **what: object) -> Avro:
    """The schema with one field otherwise, or new at the end."""
    fields = copy.deepcopy(_fields(schema))
    if name not in {field["name"] for field in fields}:
        fields.append({"name": name})
    return {**schema, "fields": [field | what if field["name"] == name else field for field in fields]}


def with_symbols(schema: Mapping[str, object], enum: str, *symbols: str) -> Avro:
    """The schema with an enum that has these symbols and no others."""
    new: Avro = copy.deepcopy(dict(schema))
    for node in _named(new):
        if node.get("type") == "enum" and node["name"] == enum:
            node["symbols"] = list(symbols)
    return new


def renamed(schema: Mapping[str, object], old: str, new: str) -> Avro:
    """The schema with one field called otherwise."""
    return {**schema, "fields": [f | {"name": new} if f["name"] == old else f for f in _fields(schema)]}


# One for each of the rules: what goes against it, and whether a registry under BACKWARD_TRANSITIVE refuses it.
AGAINST_THE_RULES: Mapping[str, tuple[Callable[[Avro], Avro], bool]] = {
    "a new field without a default": (lambda s: with_field(s, "later", type="string", doc="New."), True),
    "a new field without a doc": (lambda s: with_field(s, "later", type=["null", "string"], default=None), False),
    "a type that is another one": (lambda s: with_field(s, "lead_id", type="long"), True),
    "a type that is wider": (lambda s: with_field(s, "lead_id", type=["null", "string"]), False),
    "a field that may no longer be null": (lambda s: with_field(s, "page_id", type="string", default=""), True),
    "a name that is another one": (lambda s: renamed(s, "lead_id", "id"), True),
    "a field that goes": (lambda s: without(s, "page_id"), False),
    "a default that goes": (lambda s: {**s, "fields": [_without_default(f, "page_id") for f in s["fields"]]}, False),
    "a symbol that goes": (lambda s: with_symbols(s, "Completeness", "REDUCED", "EXPORT"), False),
    "a record that is called otherwise": (lambda s: {**s, "name": "Other"}, True),
}


def _without_default(field: Avro, name: str) -> Avro:
    return {key: what for key, what in field.items() if key != "default" or field["name"] != name}


def _given(value: Mapping[str, Any], field: Avro) -> Any:
    return value[field["name"]] if field["name"] in value else field["default"]


def _fields(schema: Mapping[str, object]) -> list[Avro]:
    fields: Any = schema["fields"]
    return list(fields)


def _named(node: object) -> Iterator[Avro]:
    """Records, enums and fields, at any depth."""
    match node:
        case list():
            for each in node:
                yield from _named(each)
        case dict():
            for each in [*node.values()]:
                yield from _named(each)
            if "name" in node:
                yield node


def _objections(older: Any, newer: Any, where: str) -> Iterator[str]:
    match older, newer:
        case {"type": "record"}, {"type": "record"} if older["name"] == newer["name"]:
            yield from _of_fields(
                {f["name"]: f for f in older["fields"]}, {f["name"]: f for f in newer["fields"]}, where
            )
        case {"type": "enum"}, {"type": "enum"} if older["name"] == newer["name"]:
            if set(older["symbols"]) - set(newer["symbols"]):
                yield f"{where} loses a symbol"
            if newer.get("default") != older.get("default") or "default" not in newer:
                yield f"{where} has another default, or none"
        case {"type": "array"}, {"type": "array"}:
            yield from _objections(older["items"], newer["items"], where)
        case list(), list() if len(older) == len(newer):
            for old, new in zip(older, newer, strict=True):
                yield from _objections(old, new, where)
        case _ if older != newer:
            yield f"{where} is of another type"


def _of_fields(older: dict[str, Avro], newer: dict[str, Avro], where: str) -> Iterator[str]:
    yield from (f"{where}.{name} is gone" for name in older.keys() - newer.keys())
    for name in newer.keys() - older.keys():
        if "default" not in newer[name] or not newer[name].get("doc"):
            yield f"{where}.{name} is new without a default and a doc"
    for name in older.keys() & newer.keys():
        yield from _objections(older[name]["type"], newer[name]["type"], f"{where}.{name}")
        if ("default" in older[name], older[name].get("default")) != (
            "default" in newer[name],
            newer[name].get("default"),
        ):
            yield f"{where}.{name} has another default, or none"
