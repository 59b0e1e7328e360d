"""A schema grows by the rules of schemas/README.md, and then readers of any version read what any version wrote."""

import hashlib
import json
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
import pytest

import schemas
from ingest.codec import Codec
from processors.mapping.avro import avro_schema
from processors.mapping.reading import read_mapping
from tests.evolution import (
    AGAINST_THE_RULES,
    HISTORY,
    LATER,
    NAMES,
    Avro,
    grown,
    history,
    objections,
    seen_by,
    typed,
    with_field,
)

PAIRS = [
    pytest.param(name, writer, reader, id=f"{name}: {reader + 1} reads {writer + 1}")
    for name in NAMES
    for writer in range(len(history(name)) + 1)  # the last one is the next version, made up
    for reader in range(len(history(name)) + 1)
]
CANNOT_BE = {("LeadUpdate", "a symbol that goes")}  # it has no enum
EXAMPLES = Path(str(files(schemas))) / "examples"


def versions(name: str) -> list[Avro]:
    """All there were, and one that might come next."""
    return [*history(name), grown(history(name)[-1])]


def records(name: str, schema: Avro) -> list[Any]:
    """Records as a writer of the schema has them: those of the examples, with every new field and symbol in use."""
    folder = {"Lead": "lead", "LeadDetails": "details", "LeadUpdate": "update"}[name]
    examples = [json.loads(file.read_bytes()) for file in sorted((EXAMPLES / folder).glob("*.pass.json"))]
    assert len(examples) == 3
    return [filled(schema, example) for example in examples]


def filled(schema: Any, value: Any) -> Any:
    match schema:
        case {"type": "record"}:
            given = {"later": "said later", "laters": 8, **value}
            return {f["name"]: filled(f["type"], given.get(f["name"], f.get("default"))) for f in schema["fields"]}
        case {"type": "array"}:
            return [filled(schema["items"], item) for item in value]
        case {"type": "enum"} if LATER in schema["symbols"]:
            return LATER
        case _:
            return value


def plain(schema: Any) -> Any:
    """The schema with times and dates as what they are on the wire, so that JSON's text stands in for them."""
    match schema:
        case {"logicalType": _}:
            return "string"
        case dict():
            return {key: plain(value) for key, value in schema.items()}
        case list():
            return [plain(each) for each in schema]
        case _:
            return schema


def read(writer: Avro, record: Any, reader: Avro) -> Any:
    datum = BytesIO()
    fastavro.schemaless_writer(datum, writer, record, strict=True)
    datum.seek(0)
    return fastavro.schemaless_reader(datum, writer, reader)


@pytest.mark.parametrize(("name", "writer", "reader"), PAIRS)
def test_what_any_version_wrote_any_version_reads(name: str, writer: int, reader: int) -> None:
    """New readers of old records is what BACKWARD_TRANSITIVE promises; old readers of new ones, what the rules add."""
    wrote, reads = versions(name)[writer], versions(name)[reader]
    for record in records(name, plain(wrote)):
        assert read(plain(wrote), record, plain(reads)) == seen_by(plain(reads), record)


@pytest.mark.parametrize("name", NAMES)
def test_a_consumer_generated_from_the_first_schema_has_the_values_of_the_newest(name: str) -> None:
    first, newest = plain(history(name)[0]), plain(versions(name)[-1])
    [record, *_] = records(name, newest)
    lead = typed(first, read(newest, record, first))
    assert lead.lead_id == record["lead_id"]
    assert lead.source == record["source"]
    if name != "LeadUpdate":  # it has no enum
        assert lead.completeness == "REDUCED"  # the default that a reader sees for the symbol it does not know
    assert not hasattr(lead, "later")


@pytest.mark.parametrize("name", NAMES)
def test_our_codec_reads_every_version_with_the_newest(name: str) -> None:
    now = history(name)[-1]
    codec: Codec[Any] = Codec(name, schema_id=100)
    for number, schema in enumerate(versions(name)):
        codec.learn(number, schema)
        empty = {field["name"]: field.get("default", "1") for field in schema["fields"]}
        if name == "LeadDetails":
            empty |= {"fetched_at": 0, "completeness": "FULL"}
        frame: bytes = Codec[Any](schema, schema_id=number).encode(empty)
        assert codec.decode(frame).keys() == {field["name"] for field in now["fields"]}


def test_every_schema_has_its_history_and_its_present_version_is_the_last_of_it() -> None:
    """If this fails: a schema that was changed is a new version, which schemas/README.md says how to add."""
    assert {topic.schema for topic in schemas.topics().values() if topic.schema} == set(NAMES)
    for name in NAMES:
        assert schemas.avro(name) == history(name)[-1]


def test_a_version_in_the_history_is_never_touched() -> None:
    """If this fails: put the file back as it was, and add yours as the next version."""
    lines = (HISTORY / "SHA256SUMS").read_text().splitlines()
    found = {f"{file.parent.name}/{file.name}": file.read_bytes() for file in HISTORY.glob("*/*.avsc")}
    assert sorted(lines) == sorted(f"{hashlib.sha256(text).hexdigest()}  {file}" for file, text in found.items())


@pytest.mark.parametrize("name", NAMES)
def test_each_version_follows_the_rules_after_every_one_before(name: str) -> None:
    all_of_them = versions(name)
    for number, newer in enumerate(all_of_them):
        for older in all_of_them[:number]:
            assert objections(older, newer) == []


@pytest.mark.parametrize(
    ("name", "change"),
    [(name, change) for name in NAMES for change in AGAINST_THE_RULES if (name, change) not in CANNOT_BE],
)
def test_what_goes_against_a_rule_is_seen(name: str, change: str) -> None:
    """Also what a registry under BACKWARD_TRANSITIVE would let through."""
    changed, _ = AGAINST_THE_RULES[change]
    assert objections(history(name)[-1], changed(history(name)[-1]))


def test_a_rule_holds_inside_the_records_of_a_lead_too() -> None:
    lead = history("Lead")[-1]
    [answers] = [field for field in lead["fields"] if field["name"] == "answers"]
    of_longs = json.loads(json.dumps(answers).replace('"items": "string"', '"items": "long"'))
    assert objections(lead, with_field(lead, "answers", **of_longs)) == ["Lead.answers.values is of another type"]


SALES = """
target: sales
owner: crm@example.org
doc: Leads for the sales team.
fields:
  email: {doc: E-mail address., from: [{standard: email}]}
  budget: {type: int, doc: Budget in euros., from: [{field: budget}]}
"""
GROWN = SALES + "  born: {type: date, doc: Date of birth., from: [{standard: date_of_birth}]}\n"
SHRUNK = "\n".join(line for line in SALES.splitlines() if "budget" not in line)


def of_mapping(text: str) -> Avro:
    return dict(avro_schema(read_mapping(text, file="sales.yaml").mapping))


@pytest.mark.parametrize("writer", [SALES, GROWN, SHRUNK], ids=["first", "grown", "shrunk"])
@pytest.mark.parametrize("reader", [SALES, GROWN, SHRUNK], ids=["first", "grown", "shrunk"])
def test_a_mapping_file_may_get_and_lose_fields_and_every_reader_goes_on(writer: str, reader: str) -> None:
    wrote, reads = of_mapping(writer), of_mapping(reader)
    values = {"lead_id": "1", "email": "a@example.org", "budget": 900, "born": None, "unmapped": "{}"}
    record = seen_by(wrote, values)
    assert read(wrote, record, reads) == seen_by(reads, record)
    assert typed(reads, read(wrote, record, reads)).email == "a@example.org"
