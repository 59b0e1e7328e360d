"""The reference sink, over a consumer in memory and a CRM on loopback: what it calls, and what it may commit."""

import ast
import json
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.schema_registry.error import SchemaRegistryError

from deploy.examples import http_sink
from deploy.examples.http_sink import Sink, retry_after

TOKEN = "planted-token-7f3a"
ANSWER = "planted-answer@example.org"


SCHEMA = 7
FRAME = b"\0" + SCHEMA.to_bytes(4, "big")


def unframed(value: bytes) -> object:
    return json.loads(value.removeprefix(FRAME))


@dataclass(frozen=True, slots=True)
class Message:
    """What poll gives: as confluent's, which cannot be made by hand with an offset."""

    at: tuple[str, int, int]
    of: str | None
    says: dict[str, str] | None

    def topic(self) -> str:
        return self.at[0]

    def partition(self) -> int:
        return self.at[1]

    def offset(self) -> int:
        return self.at[2]

    def key(self) -> bytes | None:
        return None if self.of is None else self.of.encode()

    def value(self) -> bytes | None:
        return None if self.says is None else FRAME + json.dumps(self.says).encode()

    def headers(self) -> list[tuple[str, bytes]]:
        return [("mapping", b"abc")]

    def timestamp(self) -> tuple[int, int]:
        return (1, 1_795_500_000_000)

    def error(self) -> None:
        return None


def at(offset: int, lead: str | None, partition: int = 0, /, **says: str) -> Message:
    return Message(("crm", partition, offset), lead, says or None)


@dataclass
class Log:
    """A consumer of messages given beforehand. Where a callable is met among them, it is called: a rebalance."""

    messages: list[Message | Callable[[], object]]
    stored: dict[int, int] = field(default_factory=dict)
    committed: list[dict[int, int]] = field(default_factory=list)
    is_paused: bool = False
    pauses: int = 0
    resumed: list[list[TopicPartition]] = field(default_factory=list)

    def poll(self, timeout: float) -> Message | None:
        if self.messages and callable(self.messages[0]):
            cast("Callable[[], object]", self.messages.pop(0))()
            return None
        if self.is_paused or not self.messages:
            return None
        return cast("Message", self.messages.pop(0))

    def assignment(self) -> list[TopicPartition]:
        return []

    def pause(self, _: list[TopicPartition]) -> None:
        self.is_paused = True
        self.pauses += 1

    def resume(self, partitions: list[TopicPartition]) -> None:
        self.is_paused = False
        self.resumed.append(partitions)

    def store_offsets(self, message: Message) -> None:
        self.stored[message.partition()] = message.offset() + 1

    def commit(self, *, asynchronous: bool) -> None:
        assert not asynchronous
        self.committed.append(dict(self.stored))


class Letters:
    """A producer that acknowledges, or refuses as often as told."""

    def __init__(self, refusals: int = 0) -> None:
        self.sent: list[dict[str, Any]] = []
        self.refusals = refusals

    def produce(self, topic: str, *, on_delivery: Callable[[object, object], None], **record: Any) -> None:
        if self.refusals:
            self.refusals -= 1
            on_delivery("refused", None)
        else:
            self.sent.append({"topic": topic, **record})
            on_delivery(None, None)

    def flush(self) -> None:
        pass


class Registry:
    """Knows every schema, when it is not away or told otherwise."""

    def __init__(self, *outages: Exception) -> None:
        self.outages = list(outages)

    def get_schema(self, schema_id: int) -> object:
        if self.outages:
            raise self.outages.pop(0)
        return schema_id


class Crm:
    """Leads by their id. `answers` are statuses, with the headers, that it gives instead, to one call each."""

    def __init__(self) -> None:
        self.leads: dict[str, dict[str, str]] = {}
        self.calls: list[tuple[str, str, str | None]] = []  # method, lead, idempotency key
        self.tokens: set[str | None] = set()
        self.answers: list[tuple[int, dict[str, str]]] = []
        crm = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                lead = self.path.rpartition("/")[2]
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                crm.calls.append((self.command, lead, self.headers["Idempotency-Key"]))
                crm.tokens.add(self.headers["Authorization"])
                status, headers = crm.answers.pop(0) if crm.answers else (200, {})
                if status == 200 and self.command == "PUT":
                    crm.leads[lead] = json.loads(body)
                elif status == 200 and crm.leads.pop(lead, None) is None:
                    status = 404
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(b"" if status == 204 else body)  # quotes the lead, as a CRM may

            do_DELETE = do_PUT  # noqa: N815  the name that http.server calls

            def log_message(self, *_: object) -> None:  # silent
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def crm() -> Iterator[Crm]:
    crm = Crm()
    try:
        yield crm
    finally:
        crm.stop()


def sink_of(log: Log, crm: Crm, letters: Letters | None = None, **settings: str) -> Sink:
    told = {"CRM_URL": crm.url, "CRM_TOKEN": TOKEN, **settings}
    return Sink(cast("Any", log), cast("Any", letters or Letters()), cast("Any", Registry()), unframed, told)


def filled(sink: Sink, log: Log) -> Sink:
    while log.messages and not callable(log.messages[0]):
        assert not log.is_paused
        sink.add(0)
    return sink


def test_the_newest_record_of_a_lead_is_put_and_an_older_one_of_the_same_batch_is_not(crm: Crm) -> None:
    log = Log([at(5, "A", name="old"), at(6, "B", name="b"), at(7, "A", name="new")])
    filled(sink_of(log, crm), log).flush()
    assert crm.leads == {"A": {"name": "new"}, "B": {"name": "b"}}
    assert crm.calls == [("PUT", "B", "crm-0-6"), ("PUT", "A", "crm-0-7")]
    assert log.committed == [{0: 8}]


def test_a_tombstone_deletes_and_one_of_a_lead_that_is_not_there_is_done(crm: Crm) -> None:
    log = Log([at(1, "A", name="a"), at(2, "B", name="b")])
    sink = filled(sink_of(log, crm), log)
    sink.flush()
    log.messages += [at(3, "A"), at(4, "C")]
    filled(sink, log).flush()
    assert crm.leads == {"B": {"name": "b"}}
    assert log.committed[-1] == {0: 5}


def test_a_lead_that_becomes_what_it_was_is_written_again(crm: Crm) -> None:
    """A key made of the content would be that of the first call, which a CRM that honours keys does not repeat."""
    log = Log([])
    sink = sink_of(log, crm)
    for offset, name in enumerate(["a", "b", "a"]):
        log.messages.append(at(offset, "A", name=name))
        filled(sink, log).flush()
    assert len({key for *_, key in crm.calls}) == 3


def test_a_record_delivered_again_has_the_key_it_had(crm: Crm) -> None:
    for _ in range(2):
        log = Log([at(41, "A", 3, name="a")])
        filled(sink_of(log, crm), log).flush()
    assert [key for *_, key in crm.calls] == ["crm-3-41", "crm-3-41"]


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 503])
def test_what_the_crm_cannot_take_now_is_sent_again_before_what_follows(
    crm: Crm, status: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    waits = waits_of(monkeypatch)
    crm.answers = [(status, {}), (status, {"Retry-After": "7"})]
    log = Log([at(1, "A", name="a"), at(2, "B", name="b")])
    filled(sink_of(log, crm), log).flush()
    assert [lead for _, lead, _ in crm.calls] == ["A", "A", "A", "B"]
    assert 0 < waits[0] <= 1
    assert waits[1:] == [7, 0, 0]
    assert f"crm-0-1: the CRM answers {status}; again in 7.0 s" in caplog.text
    assert TOKEN not in caplog.text
    assert log.committed == [{0: 3}]


def test_a_crm_that_is_away_costs_a_wait_and_nothing_else(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log([at(1, "A", name="a")])
    sink = filled(sink_of(log, crm, CRM_URL="http://127.0.0.1:9"), log)
    waits: list[float] = []

    def comes_back(self: Sink, seconds: float) -> None:
        waits.append(seconds)
        sink.settings = {"CRM_URL": crm.url}

    monkeypatch.setattr(Sink, "wait", comes_back)
    sink.flush()
    assert crm.leads == {"A": {"name": "a"}}
    assert waits[0] > 0


def test_what_is_refused_for_good_goes_to_the_dead_letters_as_it_was_and_the_next_one_goes_on(
    crm: Crm, caplog: pytest.LogCaptureFixture
) -> None:
    crm.answers = [(422, {})]
    bad = at(1, "A", name=ANSWER)
    log = Log([bad, at(2, "B", name="b")])
    letters = Letters()
    filled(sink_of(log, crm, letters, DEAD_LETTER_TOPIC="crm.dead"), log).flush()
    [letter] = letters.sent
    assert (letter["topic"], letter["key"], letter["value"]) == ("crm.dead", b"A", bad.value())
    assert letter["headers"] == [
        ("mapping", b"abc"),
        ("__connect.errors.topic", b"crm"),
        ("__connect.errors.partition", b"0"),
        ("__connect.errors.offset", b"1"),
        ("__connect.errors.stage", b"TASK_PUT"),
        ("__connect.errors.exception.class.name", b"Refused"),
        ("__connect.errors.exception.message", b"HTTP 422"),
    ]
    assert crm.leads == {"B": {"name": "b"}}
    assert log.committed == [{0: 3}]
    assert "crm-0-1: refused for good (HTTP 422)" in caplog.text
    assert ANSWER not in caplog.text
    assert TOKEN not in caplog.text


@pytest.mark.parametrize("unreadable", [at(1, "A", name="a"), at(1, None, name="a")], ids=["value", "key"])
def test_a_record_that_cannot_be_read_is_a_dead_letter_too(crm: Crm, unreadable: Message) -> None:
    def decode(value: bytes) -> object:
        if unreadable.key() is None:
            return unframed(value)
        raise EOFError

    log, letters = Log([unreadable]), Letters()
    sink = sink_of(log, crm, letters, DEAD_LETTER_TOPIC="crm.dead")
    sink.decode = decode
    filled(sink, log).flush()
    assert [letter["value"] for letter in letters.sent] == [unreadable.value()]
    assert crm.calls == []


def test_without_a_topic_for_dead_letters_it_stops_with_a_sentence_and_commits_nothing(crm: Crm) -> None:
    crm.answers = [(422, {})]
    log = Log([at(1, "A", name=ANSWER)])
    with pytest.raises(SystemExit, match=r"crm-0-1: refused for good \(HTTP 422\); name a DEAD_LETTER_TOPIC"):
        filled(sink_of(log, crm), log).flush()
    assert log.stored == {}


@pytest.mark.parametrize("status", [301, 307, 401, 403, 404, 405])
def test_a_crm_that_would_take_no_record_at_all_stops_it_instead_of_emptying_the_topic(crm: Crm, status: int) -> None:
    crm.answers = [(status, {"Location": "http://127.0.0.1:9/"})]
    log, letters = Log([at(1, "A", name="a")]), Letters()
    with pytest.raises(SystemExit, match=f"answers {status}; put CRM_URL or CRM_TOKEN right") as ended:
        filled(sink_of(log, crm, letters, DEAD_LETTER_TOPIC="crm.dead"), log).flush()
    assert (letters.sent, log.stored) == ([], {})
    assert TOKEN not in str(ended.value)


def test_a_dead_letter_that_is_not_acknowledged_is_tried_again(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    waits = waits_of(monkeypatch)
    crm.answers = [(422, {}), (422, {})]
    log, letters = Log([at(1, "A", name="a")]), Letters(refusals=1)
    filled(sink_of(log, crm, letters, DEAD_LETTER_TOPIC="crm.dead"), log).flush()
    assert len(letters.sent) == 1
    assert (waits[0] > 0, waits[1]) == (True, 0)


@pytest.mark.parametrize(
    "outage",
    [
        ConnectionRefusedError(),
        ValueError("no JSON"),
        SchemaRegistryError(500, 50001, ""),
        SchemaRegistryError(404, -1, ""),
    ],
    ids=["away", "nonsense", "in trouble", "no registry"],
)
def test_a_registry_that_does_not_tell_is_waited_for(
    crm: Crm, outage: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is wrong with it, no record is to blame: none may go to the dead letters for that."""
    waits, log, letters = waits_of(monkeypatch), Log([at(1, "A", name="a")]), Letters()
    sink = filled(sink_of(log, crm, letters, DEAD_LETTER_TOPIC="crm.dead"), log)
    sink.registry = cast("Any", Registry(outage))
    sink.flush()
    assert crm.leads == {"A": {"name": "a"}}
    assert letters.sent == []
    assert waits[0] > 0


def test_a_schema_that_a_registry_does_not_know_is_a_fault_of_the_record(
    crm: Crm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_sink, "DOUBT", 0.0)
    log, letters = Log([at(1, "A", name="a"), at(2, "B", name="b")]), Letters()
    sink = filled(sink_of(log, crm, letters, DEAD_LETTER_TOPIC="crm.dead"), log)
    sink.registry = cast("Any", Registry(SchemaRegistryError(404, 40403, "")))
    sink.flush()
    assert [letter["key"] for letter in letters.sent] == [b"A"]
    assert crm.leads == {"B": {"name": "b"}}


def test_a_registry_that_has_just_started_and_knows_no_schema_yet_is_waited_for(
    crm: Crm, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits, log, letters = waits_of(monkeypatch), Log([at(1, "A", name="a")]), Letters()
    sink = filled(sink_of(log, crm, letters, DEAD_LETTER_TOPIC="crm.dead"), log)
    sink.registry = cast("Any", Registry(SchemaRegistryError(404, 40403, "")))
    sink.flush()
    assert crm.leads == {"A": {"name": "a"}}
    assert letters.sent == []
    assert waits[0] > 0


def test_what_a_registry_did_not_know_before_it_was_away_it_may_know_now(
    crm: Crm, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits_of(monkeypatch)
    log, letters = Log([at(1, "A", name="a")]), Letters()
    sink = filled(sink_of(log, crm, letters, DEAD_LETTER_TOPIC="crm.dead"), log)
    sink.unknown = {SCHEMA: -http_sink.DOUBT}  # so long ago that it would be believed
    sink.registry = cast("Any", Registry(SchemaRegistryError(500, 50001, ""), SchemaRegistryError(404, 40403, "")))
    sink.flush()
    assert crm.leads == {"A": {"name": "a"}}
    assert letters.sent == []


def test_what_a_rebalance_takes_is_committed_as_far_as_it_was_flushed_and_the_rest_is_dropped(crm: Crm) -> None:
    log = Log([at(1, "A", name="a"), at(2, "B", name="b"), at(9, "C", 1, name="c")])
    sink = filled(sink_of(log, crm), log)
    log.messages.append(lambda: sink.revoked(cast("Any", log), [TopicPartition("crm", 0)]))
    sink.flush()
    assert [lead for _, lead, _ in crm.calls] == ["A", "C"]
    assert log.committed == [{0: 2}, {0: 2, 1: 10}]


def test_a_partition_that_is_taken_and_given_back_within_a_wait_is_not_left_paused(crm: Crm) -> None:
    """The client keeps a pause over rebalances, and what is paused is never heard of again."""
    log = Log([at(1, "A", name="a")])
    sink = filled(sink_of(log, crm), log)
    log.messages.append(lambda: sink.revoked(cast("Any", log), [TopicPartition("crm", 0)]))
    sink.flush()
    assert log.resumed[0] == [TopicPartition("crm", 0)]


def test_partitions_that_are_lost_already_are_not_committed(crm: Crm) -> None:
    log = Log([at(1, "A", name="a"), at(2, "B", name="b")])
    sink = filled(sink_of(log, crm), log)
    log.messages.append(lambda: sink.dropped(cast("Any", log), [TopicPartition("crm", 0)]))
    del log.committed[:]
    sink.flush()
    assert [lead for _, lead, _ in crm.calls] == ["A"]


def test_nothing_more_is_taken_while_a_batch_is_flushed_and_polling_goes_on(crm: Crm) -> None:
    log = Log([at(1, "A", name="a"), at(2, "B", name="b")])
    sink = filled(sink_of(log, crm), log)
    log.messages.append(at(3, "C", name="c"))
    sink.flush()
    assert log.pauses == 2
    assert not log.is_paused
    assert sorted(crm.leads) == ["A", "B"]


def test_asked_to_stop_while_the_crm_is_away_it_leaves_the_rest_uncommitted(crm: Crm) -> None:
    crm.answers = [(200, {}), (503, {"Retry-After": "3600"})]
    log = Log([at(1, "A", name="a"), at(2, "B", name="b")])
    sink = filled(sink_of(log, crm), log)
    sink.stop()
    sink.flush()
    assert [lead for _, lead, _ in crm.calls] == ["A", "B"]
    assert log.stored == {0: 2}


def test_retry_after_is_seconds_or_a_date() -> None:
    assert retry_after("120") == 120
    in_a_minute = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    assert 57 < retry_after(in_a_minute) <= 60
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert [retry_after(text) for text in (None, "", "soon", "-5", "Wed, 99 Oct")] == [0, 0, 0, 0, 0]


def test_who_copies_it_needs_nothing_of_leadstream() -> None:
    tree = ast.parse(Path(http_sink.__file__).read_text(encoding="utf-8"))
    imported = {
        node.module.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module
    }
    imported |= {
        alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }
    assert imported <= {"confluent_kafka", *sys.stdlib_module_names}


def test_missing_settings_are_named_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KAFKA_BOOTSTRAP_SERVERS", "REGISTRY_URL", "CRM_TOPIC", "CRM_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GROUP", "g")
    with pytest.raises(SystemExit, match=r"^set CRM_TOPIC, CRM_URL, KAFKA_BOOTSTRAP_SERVERS, REGISTRY_URL$"):
        http_sink.main()


def waits_of(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long each wait was asked to be; none is waited."""
    waits: list[float] = []
    waited = Sink.wait

    def at_once(self: Sink, seconds: float) -> None:
        waits.append(seconds)
        waited(self, 0)

    monkeypatch.setattr(Sink, "wait", at_once)
    return waits
