"""The Avro schemas load, are documented, and can grow; the Python types beside them say the same."""

from collections.abc import Iterator
from datetime import date, datetime
from typing import Any, Literal, get_args, get_origin, get_type_hints

import fastavro
import pytest

import schemas
from schemas import shapes

NAMES = sorted({topic.schema for topic in schemas.topics().values() if topic.schema})
RECORDS: dict[str, Any] = {
    "LeadDetails": shapes.LeadDetails,
    "Lead": shapes.Lead,
    "Answer": shapes.Answer,
    "Disclaimer": shapes.Disclaimer,
    "Problem": shapes.Problem,
    "LeadUpdate": shapes.LeadUpdate,
}
PLAIN = {"null": type(None), "string": str, "boolean": bool, "int": int, "long": int}
LOGICAL = {"timestamp-millis": datetime, "date": date}


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_loads(name: str) -> None:
    fastavro.parse_schema(dict(schemas.avro(name)))
    assert schemas.avro(name)["namespace"] == "leadstream"


@pytest.mark.parametrize("name", NAMES)
def test_every_record_enum_and_field_is_documented(name: str) -> None:
    undocumented = [node["name"] for node in nodes(schemas.avro(name)) if not node.get("doc", "").endswith(".")]
    assert undocumented == []


@pytest.mark.parametrize("name", ["Lead", "LeadUpdate"])
def test_every_field_of_a_lead_but_its_id_has_a_default_so_that_it_can_go_one_day(name: str) -> None:
    fields = [node for node in nodes(schemas.avro(name)) if "fields" not in node and "symbols" not in node]
    assert [field["name"] for field in fields if "default" not in field] == ["lead_id"]


@pytest.mark.parametrize("name", NAMES)
def test_an_enum_has_a_default_so_that_old_readers_survive_a_new_symbol(name: str) -> None:
    enums = [node for node in nodes(schemas.avro(name)) if node.get("type") == "enum"]
    assert bool(enums) == (name != "LeadUpdate")  # there all that Meta names is open
    assert all(enum["default"] in enum["symbols"] for enum in enums)


def test_the_same_enum_is_the_same_in_every_schema() -> None:
    told = [node["symbols"] for name in NAMES for node in nodes(schemas.avro(name)) if node["name"] == "Completeness"]
    assert told == [["FULL", "REDUCED", "EXPORT"]] * 2


@pytest.mark.parametrize("name", sorted(RECORDS))
def test_the_python_type_of_a_record_says_what_its_schema_says(name: str) -> None:
    [record] = [
        node
        for schema in NAMES
        for node in nodes(schemas.avro(schema))
        if node["name"] == name and node.get("type") == "record"
    ]
    hints = get_type_hints(RECORDS[name])
    assert list(hints) == [field["name"] for field in record["fields"]]
    assert {field["name"]: python_type(field["type"]) for field in record["fields"]} == {
        field: plain(hint) for field, hint in hints.items()
    }


def python_type(avro: Any) -> object:
    """The Python type of an Avro type, as `plain` writes it."""
    match avro:
        case list():
            found: object = frozenset(python_type(branch) for branch in avro)
        case {"logicalType": kind}:
            found = LOGICAL[kind]
        case {"type": "array", "items": items}:
            found = ("list", python_type(items))
        case {"type": "enum", "symbols": symbols}:
            found = ("enum", *symbols)
        case {"type": "record", "name": name}:
            found = RECORDS[name]
        case _:
            found = PLAIN[avro]
    return found


def plain(hint: Any) -> object:
    """A type hint in a form that can be compared."""
    if get_origin(hint) is list:
        return ("list", plain(get_args(hint)[0]))
    if get_origin(hint) is Literal:
        return ("enum", *get_args(hint))
    if get_args(hint):
        return frozenset(plain(branch) for branch in get_args(hint))
    return hint


def nodes(schema: Any) -> Iterator[dict[str, Any]]:
    """Everything that has a name in a schema: records, enums, fields, at any depth."""
    match schema:
        case {"name": _}:
            yield schema
            yield from nodes(schema.get("fields", []))
            yield from nodes(schema["type"])
        case {"type": "array", "items": items}:
            yield from nodes(items)
        case list():
            for each in schema:
                yield from nodes(each)
