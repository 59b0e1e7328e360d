"""The frame, the ways a value can be undecodable, and records that outlive their schema."""

from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

import schemas
from ingest.codec import Codec, Damaged, DecodeError, DoesNotFit, NotFramed, UnknownSchema
from schemas.shapes import LeadDetails

SECRET = "rosa.luxemburg@example.com"


def details(**changes: object) -> LeadDetails:
    record: dict[str, Any] = {
        "lead_id": "55459717045641545",
        "page_id": "153125381133",
        "form_id": None,
        "answer": '{"id":"55459717045641545"}',
        "completeness": "FULL",
        "missing_fields": [],
        "source": "webhook",
        "api_version": "v25.0",
        "change": None,
        "form": None,
        "form_version": None,
        "received_at": None,
        "fetched_at": datetime(2026, 11, 24, 7, 30, 0, 123000, tzinfo=UTC),
    }
    record.update(changes)
    return record  # type: ignore[return-value]  # some tests want a record that is wrong


@pytest.fixture
def codec() -> Codec[LeadDetails]:
    return Codec("LeadDetails", schema_id=258)


def test_what_was_encoded_is_decoded_unchanged(codec: Codec[LeadDetails]) -> None:
    assert details() == codec.decode(codec.encode(details()))


def test_the_frame_is_a_zero_and_the_id_in_four_bytes(codec: Codec[LeadDetails]) -> None:
    assert codec.encode(details())[:5] == b"\x00\x00\x00\x01\x02"


@pytest.mark.parametrize("value", [b"", b"\x00\x00\x00\x01", b'{"id": 1}', b"\x01\x00\x00\x01\x02rest"])
def test_a_value_without_the_frame_is_told_from_a_damaged_one(codec: Codec[LeadDetails], value: bytes) -> None:
    with pytest.raises(NotFramed):
        codec.decode(value)


def test_an_unknown_schema_is_named_so_that_it_can_be_learnt(codec: Codec[LeadDetails]) -> None:
    frame = Codec[LeadDetails]("LeadDetails", schema_id=9).encode(details())
    with pytest.raises(UnknownSchema) as caught:
        codec.decode(frame)
    codec.learn(caught.value.schema_id, schemas.avro("LeadDetails"))
    assert codec.decode(frame) == details()


def test_a_record_cut_short_is_damaged(codec: Codec[LeadDetails]) -> None:
    with pytest.raises(Damaged):
        codec.decode(codec.encode(details())[:-3])


def test_a_record_with_bytes_left_over_is_damaged(codec: Codec[LeadDetails]) -> None:
    with pytest.raises(Damaged):
        codec.decode(codec.encode(details()) + b"\x00")


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "record", "name": "Other", "fields": [{"name": "id", "type": "string"}]},
        {"type": "string"},
        {
            "type": "record",
            "name": "LeadDetails",
            "namespace": "leadstream",
            "fields": [{"name": "lead_id", "type": "long"}],
        },
        {"type": "record", "name": "LeadDetails", "fields": [{"name": "lead_id", "type": "nonsense"}]},
        {"type": "object", "properties": {}},
        {"syntax": "proto3"},
    ],
)
def test_a_value_of_a_foreign_schema_is_damaged_and_stops_nobody(
    codec: Codec[LeadDetails], schema: dict[str, object]
) -> None:
    """Whoever writes to our topic with the registry's blessing, but not one of our records."""

    def learn_and_decode() -> LeadDetails:
        codec.learn(5, schema)
        return codec.decode(b"\x00\x00\x00\x00\x05\x02a\x00")

    with pytest.raises(Damaged):
        learn_and_decode()


@given(st.binary())
def test_no_bytes_raise_anything_but_a_decode_error(datum: bytes) -> None:
    codec = Codec[LeadDetails]("LeadDetails", schema_id=1)
    for value in (datum, b"\x00\x00\x00\x00\x01" + datum):
        try:
            codec.decode(value)
        except DecodeError:
            continue


def test_no_damage_to_a_real_record_raises_anything_but_a_decode_error(codec: Codec[LeadDetails]) -> None:
    whole = codec.encode(details())
    for position in range(5, len(whole)):
        for byte in (0x00, 0x01, 0x7F, 0x80, 0xFF):
            try:
                codec.decode(whole[:position] + bytes([byte]) + whole[position + 1 :])
            except DecodeError:
                continue


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"answer": 5}, "answer is of the wrong type"),
        ({"surprise": SECRET}, "surprise is unknown"),
        ({"answer": SECRET, "fetched_at": SECRET}, "fetched_at is of the wrong type"),
        ({"answer": SECRET + "\ud800"}, "not Unicode"),
        ({"completeness": SECRET}, "completeness is of the wrong type"),
    ],
)
def test_a_record_that_does_not_fit_is_refused_without_quoting_it(
    codec: Codec[LeadDetails], changes: dict[str, object], sentence: str
) -> None:
    with pytest.raises(DoesNotFit, match=sentence) as caught:
        codec.encode(details(**changes))
    assert SECRET not in str(caught.value)
    assert caught.value.__suppress_context__, "what fastavro says of it would quote it"


def test_a_record_that_lacks_a_field_is_refused_even_if_the_schema_has_a_default(codec: Codec[LeadDetails]) -> None:
    """A default is for readers of old records; a writer that forgets a field would lose it silently."""
    short = details()
    del short["change"]  # type: ignore[misc]  # the mistake under test
    with pytest.raises(DoesNotFit, match="change is missing"):
        codec.encode(short)


def test_a_newer_writer_is_read_with_what_is_known_here(codec: Codec[LeadDetails]) -> None:
    """A new symbol of an enum and a new field, as a later version may add them."""
    newer = _with_symbol_and_field(schemas.avro("LeadDetails"))
    codec.learn(300, newer)
    frame = _write(300, newer, {**details(), "completeness": "PARTIAL", "shard": "a"})
    assert codec.decode(frame) == {**details(), "completeness": "REDUCED"}


def test_an_older_writer_is_read_with_defaults(codec: Codec[LeadDetails]) -> None:
    older = {**schemas.avro("LeadDetails")}
    older["fields"] = [field for field in _fields(older) if field["name"] not in {"api_version", "missing_fields"}]
    codec.learn(2, older)
    frame = _write(2, older, {**details()})
    assert codec.decode(frame) == details(api_version=None)


def _fields(schema: schemas.Schema) -> list[dict[str, Any]]:
    fields: Any = schema["fields"]
    return list(fields)


def _with_symbol_and_field(schema: schemas.Schema) -> schemas.Schema:
    fields = [
        {**field, "type": {**field["type"], "symbols": [*field["type"]["symbols"], "PARTIAL"]}}
        if field["name"] == "completeness"
        else field
        for field in _fields(schema)
    ]
    return {**schema, "fields": [*fields, {"name": "shard", "type": "string", "default": ""}]}


def _write(schema_id: int, schema: schemas.Schema, record: dict[str, object]) -> bytes:
    out = BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(dict(schema)), record)
    return b"\x00" + schema_id.to_bytes(4, "big") + out.getvalue()
