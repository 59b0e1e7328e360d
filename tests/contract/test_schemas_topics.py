"""topics.toml, the code and schemas/README.md name the same topics and headers."""

import re
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

import pytest

import schemas
from ingest import records
from ingest.kafka import MAX_RECORD_BYTES

FOLDER = Path(str(files(schemas)))
FILE = tomllib.loads((FOLDER / "topics.toml").read_text())
CRM = records.CRM + "<target>.v1"
DECLARED: dict[str, dict[str, Any]] = FILE["topics"] | {CRM: FILE["crm"]}
TOPICS = (*schemas.topics().values(), schemas.crm_topic(CRM))
README = (FOLDER / "README.md").read_text()
COMMANDS = {
    *("serve", "work fetch", "work map", "work retry"),
    *("dead redrive", "parked release", "replay fetch", "replay map", "replay updates", "status", "doctor"),
    "import",
}


def test_the_topics_that_are_declared_are_those_the_code_names() -> None:
    constants = [value for name, value in vars(records).items() if name.isupper()]
    named = [name for value in constants for name in (value if isinstance(value, tuple) else (value,))]
    named.remove(records.CRM)
    assert set(schemas.topics()) == {name for name in named if str(name).startswith(("meta.", "leads."))}


@pytest.mark.parametrize("name", DECLARED)
def test_an_entry_has_every_field_and_no_other(name: str) -> None:
    entry = DECLARED[name]
    always = {"doc", "key", "value", "partitions", "cleanup", "writers", "readers"}
    assert always <= entry.keys() <= always | {"retention", "config"}
    assert entry["cleanup"] in {"delete", "compact", "compact,delete"}
    assert ("delete" in entry["cleanup"]) == ("retention" in entry)
    assert set(entry["writers"]) | set(entry["readers"]) <= COMMANDS


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_a_compacted_topic_forgets_what_was_replaced_within_a_day_and_keeps_tombstones_for_a_week(
    topic: schemas.Topic,
) -> None:
    if "compact" in topic.config["cleanup.policy"]:
        assert topic.config["segment.ms"] == topic.config["max.compaction.lag.ms"] == "86400000"
        assert topic.config["delete.retention.ms"] == "604800000"


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_a_topic_has_room_for_the_largest_record_that_is_produced(topic: schemas.Topic) -> None:
    assert int(topic.config["max.message.bytes"]) > MAX_RECORD_BYTES


def test_nothing_with_answers_of_people_is_kept_longer_than_meta_keeps_it() -> None:
    topics = {topic.name: topic for topic in TOPICS}
    for name in ("meta.leadgen.details", "leads.v1", "leads.updates.v1", "meta.leadgen.dead", CRM):
        assert topics[name].config["retention.ms"] == "7776000000"


def test_every_schema_file_is_the_value_of_a_topic() -> None:
    used = {topic.schema for topic in schemas.topics().values() if topic.schema}
    assert used == {file.stem for file in FOLDER.glob("*.avsc")}


def test_raw_and_what_comes_back_have_the_same_partitions() -> None:
    """A page's budget lives in one worker: its records on both topics must come to the same one."""
    names = (records.RAW, records.AGAIN, records.PARKED, *records.RETRY)
    assert {schemas.topics()[name].partitions for name in names} == {12}


def test_the_readme_lists_each_topic_as_it_is_declared() -> None:
    row = r"^\| `([a-z0-9.<>]+)` \| (.+?) \| (.+?) \| (\d+) \| (.+?) \| (.*?) ?\| (.*?) \|$"
    assert re.findall(row, README, flags=re.MULTILINE) == [
        (
            name,
            entry["key"],
            entry["value"],
            str(entry["partitions"]),
            kept(entry),
            ", ".join(entry["writers"]),
            ", ".join(entry["readers"]) or "you",
        )
        for name, entry in DECLARED.items()
    ]


def test_the_readme_lists_each_header() -> None:
    assert re.findall(r"^\| `([a-z_.-]+)` \| [^|]+ \|$", README, flags=re.MULTILINE) == list(
        get_args(records.HeaderName)
    )


def kept(entry: dict[str, Any]) -> str:
    """How the README's table says how long a topic keeps its records."""
    span = str(entry.get("retention", "")).replace("d", " days")
    words = {"delete": span, "compact": "compacted", "compact,delete": f"compacted, {span}"}
    return words[entry["cleanup"]]
