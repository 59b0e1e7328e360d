"""The compiled writer writes what fastavro writes, or leaves it to fastavro."""

import struct
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from enum import StrEnum
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import schemas
from ingest.codec import Codec, DoesNotFit
from ingest.compiled import NOT_PLAIN, compile_writer
from processors.mapping.avro import avro_schema
from processors.mapping.reading import read_mapping

EXAMPLES = Path(__file__).parents[2] / "schemas" / "examples" / "mapping"
HEAD = b"head"


def of_a_target(name: str) -> schemas.Schema:
    return avro_schema(read_mapping((EXAMPLES / name).read_text(encoding="utf-8"), file=name).mapping)


OURS = {
    **{name: schemas.avro(name) for name in ("LeadDetails", "Lead", "LeadUpdate")},
    **{name: of_a_target(name) for name in ("everything.pass.yaml", "sales.pass.yaml")},
}
EVERY_TYPE: schemas.Schema = {
    "type": "record",
    "name": "Every",
    "fields": [
        {"name": "int", "type": "int"},
        {"name": "long", "type": ["null", "long"]},
        {"name": "float", "type": "float"},
        {"name": "double", "type": ["null", "double"]},
        {"name": "date", "type": {"type": "int", "logicalType": "date"}},
        {"name": "texts", "type": ["null", {"type": "array", "items": ["null", "string"]}]},
    ],
}


class Word(StrEnum):
    ANSWER = "FULL"


BEFORE = datetime(1969, 12, 31, 23, 59, 59, 1, tzinfo=UTC)
WRONG: list[object] = [
    None,
    True,
    0,
    1.5,
    1e300,
    2**31,
    -(2**63),
    2**63,
    "",
    "\ud800",
    Word.ANSWER,
    b"FULL",
    ("string", "x"),
]
ODD = st.sampled_from([*WRONG, (), ["x", 1], {}, BEFORE, BEFORE.replace(tzinfo=None), date(1, 1, 1)])
TEXTS = st.one_of(st.text(max_size=5), st.sampled_from(["x" * 63, "x" * 64, "é" * 4095, "é" * 4096, "x" * 8191]))
SCALARS: Mapping[str, st.SearchStrategy[object]] = {
    "string": TEXTS,
    "boolean": st.booleans(),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    # By its bits: floats(width=32) rejects what it drew too large, and hypothesis then spells the whole record.
    "float": st.binary(min_size=4, max_size=4).map(lambda bits: struct.unpack("<f", bits)[0]),
    "double": st.floats(),
}
ZONE = timezone(timedelta(hours=-7, minutes=-30))
ZONES = st.sampled_from([UTC, ZONE])
MOMENT = {"type": "long", "logicalType": "timestamp-millis"}


def values(type_: Any) -> st.SearchStrategy[object]:
    """What a type takes, and now and then something else."""
    return st.one_of(_values(type_), _values(type_), _values(type_), ODD)


def _values(type_: Any) -> st.SearchStrategy[object]:  # noqa: PLR0911  one for each type
    match type_:
        case str():
            return SCALARS[type_]
        case ["null", branch]:
            return st.none() | _values(branch)
        case {"type": "record", "fields": fields}:
            return st.fixed_dictionaries({field["name"]: _values(field["type"]) for field in fields})
        case {"type": "array", "items": items}:
            return st.lists(_values(items), max_size=3)
        case {"type": "enum", "symbols": symbols}:
            return st.sampled_from(symbols)
        case {"logicalType": "timestamp-millis"}:
            return st.datetimes(min_value=datetime(1900, 1, 1), timezones=ZONES)  # noqa: DTZ001  it adds the zone
        case _:
            return st.dates()


@st.composite
def records(draw: st.DrawFn, schema: schemas.Schema) -> dict[str, object]:
    """A record of the schema, some of whose values may be wrong, missing, or of no field."""
    record = dict(draw(st.fixed_dictionaries({f["name"]: _values(f["type"]) for f in _fields(schema)})))
    for field in draw(st.lists(st.sampled_from(_fields(schema)), max_size=2)):
        record[field["name"]] = draw(values(field["type"]))
    for name in draw(st.lists(st.sampled_from(list(record)), max_size=1)):
        if draw(st.integers(0, 3)) == 0:
            del record[name]
    if draw(st.integers(0, 9)) == 0:
        record["no_field"] = None
    return record


def _fields(schema: schemas.Schema) -> Any:
    return schema["fields"]


def by_fastavro(schema: schemas.Schema, record: object) -> bytes | None:
    """What it writes; None for what it refuses."""
    out = BytesIO()
    out.write(HEAD)
    try:
        fastavro.schemaless_writer(out, fastavro.parse_schema(dict(schema)), record, strict=True)
    except (*NOT_PLAIN, EOFError, IndexError):
        return None
    return out.getvalue()


def compiled(schema: schemas.Schema, record: object) -> bytes | None:
    """What is written without it; None for what is left to it."""
    write = compile_writer(schema, HEAD)
    assert write is not None
    try:
        return write(record)
    except NOT_PLAIN:
        return None


@given(
    st.sampled_from([*OURS.values(), EVERY_TYPE]).flatmap(lambda schema: st.tuples(st.just(schema), records(schema)))
)
def test_a_record_is_written_as_fastavro_writes_it_or_left_to_it(given: tuple[schemas.Schema, object]) -> None:
    schema, record = given
    written = compiled(schema, record)
    assert written is None or written == by_fastavro(schema, record)


@pytest.mark.parametrize("schema", [*OURS.values(), EVERY_TYPE], ids=[*OURS, "every type"])
def test_what_is_of_its_schema_is_written_without_fastavro(schema: schemas.Schema) -> None:
    @given(_values(schema))
    def holds(record: object) -> None:
        assert compiled(schema, record) == by_fastavro(schema, record)

    holds()


@given(st.integers(-(2**63), 2**63 - 1))
@example(2**63 - 1)
@example(-(2**63))
def test_a_number_is_written_in_as_many_bytes_as_it_takes(number: int) -> None:
    record: dict[str, object] = {
        "int": 0,
        "long": number,
        "float": 0.0,
        "double": None,
        "date": date(1970, 1, 1),
        "texts": [],
    }
    assert compiled(EVERY_TYPE, record) == by_fastavro(EVERY_TYPE, record) is not None


@pytest.mark.parametrize("moment", [BEFORE, BEFORE.replace(microsecond=999_999), BEFORE.astimezone(ZONE)])
def test_a_moment_is_written_to_the_millisecond_in_utc(moment: datetime) -> None:
    schema = {"type": "record", "name": "At", "fields": [{"name": "at", "type": MOMENT}]}
    assert compiled(schema, {"at": moment}) == by_fastavro(schema, {"at": moment}) is not None


@pytest.mark.parametrize(
    "type_", ["bytes", {"type": "map", "values": "string"}, ["null", "string", "long"], {"type": "string"}]
)
def test_a_schema_with_a_type_that_ours_do_not_have_is_left_to_fastavro(type_: object) -> None:
    schema = {"type": "record", "name": "Theirs", "fields": [{"name": "it", "type": type_}]}
    assert compile_writer(schema, HEAD) is None


def test_what_cannot_be_written_is_told_as_fastavro_tells_it() -> None:
    codec: Codec[dict[str, object]] = Codec(EVERY_TYPE, schema_id=1)
    record = {"int": True, "long": 2**63, "double": 1.0, "date": "1970-01-01", "texts": None, "more": 1}
    with pytest.raises(DoesNotFit, match=r"more is unknown, float is missing, .*long is of the wrong type"):
        codec.encode(record)
