"""The schema of a target's topic, made from its file: what it says, and that it can grow and shrink."""

from io import BytesIO
from typing import Any

import pytest
from fastavro import parse_schema, schemaless_reader, schemaless_writer
from hypothesis import given
from hypothesis import strategies as st

from processors.mapping.avro import avro_schema
from processors.mapping.file import Mapping
from processors.mapping.reading import read_mapping

TYPES = ("string", "boolean", "int", "long", "float", "double", "date", "timestamp", "strings")


def mapping(**types: str) -> Mapping:
    fields = "".join(
        f"  {name}: {{doc: About {name}., type: {type_}, default: ~, from: [field: x]}}\n"
        for name, type_ in types.items()
    )
    return read_mapping(
        f"target: sales\nowner: o\ndoc: What sales needs.\nkey: lead\nfields:\n{fields}", file="f"
    ).mapping


# `Any`: Avro schemas and records are what JSON is.
def written_and_read(record: dict[str, Any], *, by: Mapping, read_by: Mapping) -> Any:
    writer: Any = parse_schema(dict(avro_schema(by)))
    reader: Any = parse_schema(dict(avro_schema(read_by)))
    frame = BytesIO()
    schemaless_writer(frame, writer, record, strict=True)
    frame.seek(0)
    return schemaless_reader(frame, writer, reader)


def test_the_key_comes_first_then_the_fields_in_the_order_of_the_file_then_what_no_field_took() -> None:
    schema: Any = avro_schema(mapping(zip="string", age="int"))
    assert [(field["name"], field["type"], field["doc"]) for field in schema["fields"]] == [
        ("lead", "string", "Meta's id of the lead."),
        ("zip", ["null", "string"], "About zip."),
        ("age", ["null", "int"], "About age."),
        ("unmapped", ["null", "string"], "What no field took, as JSON text: answers and disclaimers by their keys."),
    ]
    assert (schema["namespace"], schema["name"], schema["doc"]) == ("leadstream.crm", "sales", "What sales needs.")


@pytest.mark.parametrize(
    ("type_", "avro"),
    [
        *((name, name) for name in TYPES[:6]),
        ("date", {"type": "int", "logicalType": "date"}),
        ("timestamp", {"type": "long", "logicalType": "timestamp-millis"}),
        ("strings", {"type": "array", "items": "string"}),
    ],
)
def test_every_type_is_nullable_with_null_as_its_default(type_: str, avro: object) -> None:
    schema: Any = avro_schema(mapping(a=type_))
    assert schema["fields"][1] == {"name": "a", "type": ["null", avro], "default": None, "doc": "About a."}


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), st.sampled_from(TYPES), min_size=1, max_size=6))
def test_fields_that_come_and_go_stop_neither_an_old_reader_nor_a_new_one(types: dict[str, str]) -> None:
    types = {f"f_{name}": type_ for name, type_ in types.items()}
    small, large = mapping(always="string"), mapping(always="string", **types)
    nothing = dict.fromkeys(types)
    old = {"lead": "1", "always": "a", "unmapped": None}
    assert written_and_read(old, by=small, read_by=large) == old | nothing
    assert written_and_read(old | nothing, by=large, read_by=small) == old
