"""Kafka Connect, Debezium's JDBC sink and PostgreSQL, for real: rows are the leads, and nothing that ends loses one."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from confluent_kafka import Producer

from deploy.reading import Decoder
from deploy.sandbox import Sandbox
from ingest.records import DETAILS
from ingest.settings import RegistrySettings
from schemas import Schema
from tests.programs import LEADSTREAM, Program, System, eventually
from tests.sinks import CrmTopic, Row, Sink

CRM_TOPIC = "leads.crm.sales.v1"
PLANTED = "Quality-Planted"  # a person's answer; of it nothing may be told
TYPES: dict[str, object] = {
    "name": "string",
    "order": "string",  # a word of SQL's
    "agreed": "boolean",
    "seats": "int",
    "visits": "long",
    "share": "float",
    "score": "double",
    "born": {"type": "int", "logicalType": "date"},
    "asked_at": {"type": "long", "logicalType": "timestamp-millis"},
    "tags": {"type": "array", "items": "string"},
}


def schema(**more: object) -> Schema:
    """A target's, as a mapping file makes it."""
    fields = {**TYPES, **more, "unmapped": "string"}
    return {
        "type": "record",
        "name": "sales",
        "namespace": "leadstream.crm",
        "fields": [
            {"name": "lead_id", "type": "string"},
            *({"name": name, "type": ["null", type_], "default": None} for name, type_ in fields.items()),
        ],
    }


def a_record(lead_id: str, **fields: object) -> Row:
    return {"lead_id": lead_id} | dict.fromkeys([*TYPES, "unmapped"]) | fields


def in_the_table(record: Row) -> Row:
    """PostgreSQL's timestamps here have no zone, and are in UTC."""
    return {
        name: value.astimezone(UTC).replace(tzinfo=None) if isinstance(value, datetime) else value
        for name, value in record.items()
    }


@pytest.fixture(scope="module")
def world(sandbox: Sandbox) -> Iterator[Sandbox]:
    """The sandbox with PostgreSQL and Connect; Connect's half gigabyte is given back at the end."""
    sandbox.up(["postgres", "connect"])
    yield sandbox
    sandbox.down(["connect", "postgres"])


@pytest.fixture
def topic(world: Sandbox, topic_prefix: str) -> CrmTopic:
    return CrmTopic(world.env(), f"{topic_prefix}{CRM_TOPIC}")


@pytest.fixture
def sink(world: Sandbox, topic: CrmTopic) -> Iterator[Sink]:
    """Not started yet."""
    sink = Sink(world, topic.name)
    yield sink
    world.up(["postgres", "connect"])  # what a test ended
    sink.delete()


@pytest.fixture
def watch(world: Sandbox, sink: Sink, tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """Starts `connect watch` on the test's connector, with more options."""
    started: list[Program] = []

    def start(*options: str) -> Program:
        env = {"CONNECT_URL": world.env()["CONNECT_URL"], "ADMIN_PORT": "0"}
        watching = ("connect", "watch", "--connector", sink.name, "--every", "0.5")
        started.append(Program(*watching, *options, env=env, log=tmp_path / "watch.log"))
        return started[-1]

    yield start
    for each in started:
        each.stop()


def test_rows_are_the_records_whatever_is_in_them(topic: CrmTopic, sink: Sink) -> None:
    text = 'Zoë "O\'Brien" \\ 李 {a,b} $1 %s \N{GRINNING FACE}\n\t'
    records = [
        a_record("10000000000000001"),
        a_record(
            "10000000000000002",
            name=text,
            order="",
            agreed=True,
            seats=-(2**31),
            visits=2**63 - 1,
            share=0.5,
            score=0.1,
            born=date(1969, 12, 31),
            asked_at=datetime(2026, 11, 24, 23, 59, 59, 123000, tzinfo=UTC),
            tags=["a,b", 'q"uote', "", "NULL", "{x}", "ü\\"],
            unmapped=json.dumps({"answers": {"größe": [text]}}, ensure_ascii=False),
        ),
        a_record("3", agreed=False, seats=2**31 - 1, visits=-(2**63), score=5e-324, tags=[], born=date(2026, 2, 28)),
    ]
    codec = topic.schema(schema())
    topic.put({str(record["lead_id"]): codec.encode(record) for record in records})
    sink.start()
    eventually(lambda: len(sink.rows()) == len(records), 120, "the rows")
    assert sink.rows() == {str(record["lead_id"]): in_the_table(record) for record in records}
    assert sink.columns() == {
        "lead_id": "text",
        "name": "text",
        "order": "text",
        "agreed": "boolean",
        "seats": "integer",
        "visits": "bigint",
        "share": "real",
        "score": "double precision",
        "born": "date",
        "asked_at": "timestamp(6) without time zone",
        "tags": "text[]",
        "unmapped": "text",
    }


def test_a_newer_record_replaces_a_grown_schema_adds_a_column_and_a_tombstone_deletes(
    topic: CrmTopic, sink: Sink
) -> None:
    codec = topic.schema(schema())
    topic.put({lead: codec.encode(a_record(lead, name="before")) for lead in "123"})
    sink.start()
    eventually(lambda: len(sink.rows()) == 3, 120, "the rows")
    grown = topic.schema(schema(budget="double", marks={"type": "array", "items": "string"}))
    topic.put({"2": grown.encode(a_record("2", name="after", budget=1.5, marks=["x"])), "3": None, "unheard of": None})
    eventually(lambda: set(sink.rows()) == {"1", "2"}, 120, "the deletion")
    eventually(lambda: sink.rows()["2"]["name"] == "after", 120, "the newer record")
    assert sink.rows() == {
        "1": a_record("1", name="before", budget=None, marks=None),
        "2": a_record("2", name="after", budget=1.5, marks=["x"]),
    }
    topic.put({"1": codec.encode(a_record("1", name="by an older writer"))})
    eventually(lambda: sink.rows()["1"]["name"] == "by an older writer", 120, "that both are written")
    assert sink.state() == "RUNNING"


def test_a_table_with_the_key_alone_is_filled_though_a_tombstone_comes_first(topic: CrmTopic, sink: Sink) -> None:
    """Without any table the sink fails on a tombstone, for that has no schema to make one from."""
    sink.execute(f"create table {sink.table} (lead_id text primary key)")
    topic.put({"1": None})
    sink.start()
    codec = topic.schema(schema())
    topic.put({"2": codec.encode(a_record("2", name="x"))})
    eventually(lambda: sink.rows() == {"2": a_record("2", name="x")}, 120, "the row")


def test_a_column_of_yours_with_a_zone_holds_the_moment(topic: CrmTopic, sink: Sink) -> None:
    """With Connect's Java in another zone than UTC it is hours off."""
    sink.execute(f"create table {sink.table} (lead_id text primary key, asked_at timestamptz)")
    moment = datetime(2026, 11, 24, 23, 59, 59, 123000, tzinfo=UTC)
    topic.put({"1": topic.schema(schema()).encode(a_record("1", asked_at=moment))})
    sink.start()
    eventually(lambda: sink.rows() == {"1": a_record("1", asked_at=moment)}, 120, "the row")


def test_the_password_is_told_to_nobody(world: Sandbox, topic: CrmTopic, sink: Sink) -> None:
    sink.start()
    password = (world.home / "postgres" / "secrets" / "password").read_text()
    assert password not in json.dumps(sink.ask("GET", "config"))
    assert password not in world.part("connect").log.read_text(errors="replace")


def test_nothing_is_lost_while_database_registry_and_connect_end(
    world: Sandbox, topic: CrmTopic, sink: Sink, watch: Callable[..., Program]
) -> None:
    """A task that has failed stays so: it is `connect watch` that brings it back."""
    written: dict[str, Row] = {}
    codec = topic.schema(schema())

    def more() -> None:
        records = {f"{n}": a_record(f"{n}", name=f"Lead {n}") for n in range(len(written), len(written) + 50)}
        written.update(records)
        topic.put({lead: codec.encode(record) for lead, record in records.items()})

    def all_written() -> bool:
        return {lead: row["name"] for lead, row in sink.rows().items()} == {
            lead: record["name"] for lead, record in written.items()
        }

    sink.start(flush_max_retries="1", flush_retry_delay_ms="200")
    watching = watch("--limit", "3", "--within", "4").wait_ready()
    more()
    eventually(all_written, 120, "the first rows")

    world.part("postgres").stop()
    more()
    eventually(sink.has_failed, 120, "the task fails without its database")
    world.up(["postgres"])
    eventually(all_written, 120, "the rows of a database that was stopped")

    world.part("postgres").kill()
    more()
    world.up(["postgres"])
    eventually(all_written, 120, "the rows of a database that was killed")

    grown = topic.schema(schema(extra="string"))
    world.part("registry").kill()
    records = {f"{n}": a_record(f"{n}", name=f"Lead {n}", extra="x") for n in range(150, 200)}
    topic.put({lead: grown.encode(record) for lead, record in records.items()})
    written |= records
    eventually(sink.has_failed, 120, "the task fails on a schema that it cannot look up")
    world.up(["registry"])
    eventually(all_written, 120, "the rows after the registry was away")

    world.part("connect").kill()
    more()
    eventually(lambda: '"connect.unreachable"' in watching.log.read_text(), 120, "that Connect is missed")
    eventually(lambda: watching.asked("ready")[0] == 503, 120, "that it says so")
    world.up(["connect"])
    eventually(all_written, 120, "the rows after Connect was killed")
    watching.wait_ready()

    eventually(lambda: '"connect.recovered"' in watching.log.read_text(), 120, "that it recovered")
    assert f'leadstream_connect_failed{{connector="{sink.name}"}} 0.0' in watching.metrics()
    assert f'leadstream_connect_restarts_total{{connector="{sink.name}"}}' in watching.metrics()
    assert watching.stop() == 0


def test_a_record_that_the_database_refuses_stops_its_partition_with_an_alarm_until_it_is_skipped(
    world: Sandbox, sink: Sink, topic: CrmTopic, watch: Callable[..., Program]
) -> None:
    """U+0000 is Unicode and Avro, and no text of PostgreSQL's. What was asked of a person is told of nowhere."""
    codec = topic.schema(schema())
    good = {lead: codec.encode(a_record(lead, name="good")) for lead in "0123456789"}
    sink.start(flush_max_retries="1", flush_retry_delay_ms="200")
    topic.put({"0": good["0"]})
    eventually(lambda: set(sink.rows()) == {"0"}, 120, "the row")
    watching = watch("--limit", "2", "--within", "60").wait_ready()
    topic.put({"bad": codec.encode(a_record("bad", name=f"{PLANTED}\0"))})
    topic.put(good)
    eventually(lambda: '"connect.given-up"' in watching.log.read_text(), 120, "the alarm")
    assert f'leadstream_connect_failed{{connector="{sink.name}"}} 1.0' in watching.metrics()
    assert f'leadstream_connect_restarts_total{{connector="{sink.name}"}} 2.0' in watching.metrics()
    assert "org.postgresql.util.PSQLException" in watching.log.read_text()
    assert PLANTED in json.dumps(sink.ask("GET", "status"))  # it is there to be told
    assert "Planted" not in watching.log.read_text()

    skip_one(sink)
    eventually(lambda: set(sink.rows()) == set(good), 120, "the good ones")
    eventually(lambda: '"connect.recovered"' in watching.log.read_text(), 120, "the end of the alarm")
    topic.put({"bad": codec.encode(a_record("bad", name="put right"))})
    eventually(lambda: sink.rows().get("bad", {}).get("name") == "put right", 120, "the record that was put right")


def skip_one(sink: Sink) -> None:
    """As deploy/connect/README.md tells it: one record at a time shows the one that cannot be written."""
    sink.start(consumer_override_max_poll_records="1", batch_size="1")
    sink.ask("POST", "restart?includeTasks=true&onlyFailed=true")
    eventually(sink.has_failed, 120, "the failure, alone")
    sink.ask("PUT", "stop")
    eventually(lambda: sink.state() == "", 120, "the stop")
    [at] = sink.ask("GET", "offsets")["offsets"]
    at["offset"]["kafka_offset"] += 1
    sink.ask("PATCH", "offsets", {"offsets": [at]})
    sink.start()
    sink.ask("PUT", "resume")


MAPPING = """\
target: sales
owner: the tests
doc: Leads for the table.
key: lead
fields:
  name:
    doc: Who it is.
    from: [{standard: full_name}]
    transform: [trim]
  emails:
    doc: How to write to them.
    type: strings
    from: [{standard: email}, {standard: work_email}]
  campaign:
    doc: What brought them.
    from: [{lead: campaign_name}]
  created_at:
    doc: When they answered.
    type: timestamp
    from: [{lead: created_at}]
"""


def test_the_table_holds_exactly_the_leads_after_traffic_a_killed_worker_a_replay_growth_and_an_erasure(
    world: Sandbox, system: System, tmp_path: Path
) -> None:
    folder = tmp_path / "mappings"
    folder.mkdir()
    (folder / "sales.yaml").write_text(MAPPING)
    system.env |= {"MAPPING_DIR": str(folder), "MAPPING_CHECK": "0.2"}
    system.apply_topics()
    sink = Sink(world, system.topics(CRM_TOPIC), key="lead")
    sink.execute(f"create table {sink.table} (lead text primary key)")
    sink.start()
    for command in ("serve",), ("work", "fetch"):
        system.start(*command).wait_ready()
    worker = system.start("work", "map").wait_ready()

    job = system.graph.deliver(system.webhook, 120, rate=60).job
    eventually(lambda: len(sink.rows()) > 20, 120, "the first rows")
    eventually(worker.kill_child, 120, "a worker that is killed under way")
    system.graph.wait(job)
    leads = set(system.graph.acknowledged())
    eventually(lambda: set(sink.rows()) == leads, 90, "a row for every lead")
    first = newest(system)
    eventually(lambda: sink.rows() == first, 120, "rows as the topic has them")

    worker.stop()
    before = len(system.records(CRM_TOPIC))
    replayed = subprocess.run(
        [LEADSTREAM, "replay", "map", "--to", "earliest", "--yes"], env=os.environ | system.env, check=False, cwd=folder
    )
    assert replayed.returncode == 0
    worker = system.start("work", "map").wait_ready()
    eventually(lambda: len(system.records(CRM_TOPIC)) >= before + len(leads), 120, "every lead mapped again")
    eventually(lambda: sink.offsets() == len(system.records(CRM_TOPIC)), 120, "all of it read by the sink")
    assert sink.rows() == first

    (folder / "sales.yaml").write_text(f"{MAPPING}  page:\n    doc: Its page.\n    from: [{{lead: page_id}}]\n")
    system.apply_topics()
    eventually(lambda: worker.log.read_text().count('"mapping.read"') >= 2, 120, "the grown file in force")
    system.graph.wait(system.graph.deliver(system.webhook, 10).job)
    later = set(system.graph.acknowledged()) - leads
    eventually(lambda: set(sink.rows()) == leads | later, 120, "a row for every later lead")
    assert {lead: row["page"] is not None for lead, row in sink.rows().items()} == {
        **dict.fromkeys(leads, False),
        **dict.fromkeys(later, True),
    }

    erased = next(iter(leads))
    producer = Producer({"bootstrap.servers": system.env["KAFKA_BOOTSTRAP_SERVERS"], "partitioner": "murmur2_random"})
    producer.produce(system.topics(DETAILS), None, erased.encode())
    assert producer.flush(30) == 0
    eventually(lambda: set(sink.rows()) == (leads | later) - {erased}, 120, "the row of an erased lead gone")
    assert sink.rows() == newest(system)
    sink.delete()


def newest(system: System) -> dict[str, Row]:
    """What the topic has of each lead, as the table should."""
    settings = RegistrySettings(registry_url=system.env["REGISTRY_URL"])
    decode: Decoder[Row] = Decoder(settings, None, subject=system.topics.subject(CRM_TOPIC))
    values = {record.key.decode(): record.value for record in system.records(CRM_TOPIC) if record.key is not None}
    return {lead: in_the_table(decode(value)) for lead, value in values.items() if value is not None}
