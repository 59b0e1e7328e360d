"""An update of a lead becomes the same update, typed, or a dead letter; whatever Meta sends, it is one of the two."""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import stamina
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from ingest.codec import Codec
from ingest.meta.webhook import read
from ingest.records import DEAD, FATES, LEAD_UPDATES, UPDATES, Received, Record, header
from processors.limit import Limit
from processors.updates import Updates
from schemas.shapes import LeadUpdate
from tests.doubles import Broker

CODEC: Codec[LeadUpdate] = Codec("LeadUpdate", schema_id=3)
NOW = 1_795_000_000_000
THEN = NOW - 86_400_000
LEAD = "55459717045641545"
VALUE = (
    f'{{"leadgen_id": {LEAD}, "page_id":153125381133,"form_id":"12312312312","ad_id":0,"adgroup_id":"0",'
    '"updated_time":"1773000000","area":"ai_agent_updates","event":"qualification_status_change",'
    '"updated_fields":["qualification_details","qualification_status"], "later": {"stage": "Gr\\u00fcn"}}'
)


@pytest.fixture(autouse=True)
def _no_pauses() -> Iterator[None]:
    """Ten attempts without pauses stand for attempts without end."""
    with stamina.set_testing(True, attempts=10):
        yield


def change(value: str = VALUE) -> bytes:
    return f'{{"field":"leadgen_update","value":{value}}}'.encode()


def saying(**members: object) -> bytes:
    return change(json.dumps({"leadgen_id": LEAD} | members))


def received(value: bytes | None, *, key: bytes | None = LEAD.encode(), **said: str) -> Received:
    told = {"source": "webhook", "delivery": "d1", "received-at": str(THEN), "entry-id": "153125381133"} | said
    return Received(
        topic=f"tenant.{UPDATES}",
        partition=3,
        offset=17,
        key=key,
        value=value,
        headers=tuple((name.replace("_", "-"), text.encode()) for name, text in told.items()),
        timestamp=THEN,
    )


def become(record: Received, *, broker: Broker | None = None) -> list[Record]:
    broker = broker or Broker()
    limit = Limit(worker="updates", per_minute=10, clock=lambda: 0.0)
    asyncio.run(Updates(codec=CODEC, producer=broker, limit=limit, clock=lambda: NOW).run(record))
    return broker.records


def typed(record: Received) -> LeadUpdate:
    [made] = become(record)
    assert (made.topic, made.key) == (LEAD_UPDATES, LEAD.encode())
    assert made.value is not None
    return CODEC.decode(made.value)


def test_what_the_dashboard_sends_is_typed_and_its_value_is_kept_to_the_byte() -> None:
    assert typed(received(change())) == {
        "lead_id": LEAD,
        "updated_at": datetime(2026, 3, 8, 20, 0, tzinfo=UTC),
        "received_at": datetime.fromtimestamp(THEN / 1000, tz=UTC),
        "source": "webhook",
        "is_sample": False,
        "page_id": "153125381133",
        "form_id": "12312312312",
        "ad_id": None,
        "adgroup_id": None,
        "area": "ai_agent_updates",
        "event": "qualification_status_change",
        "updated_fields": ["qualification_details", "qualification_status"],
        "value": VALUE,
    }


def test_it_keeps_the_time_of_its_record_and_says_which_one_it_came_from() -> None:
    [made] = become(received(change()))
    assert made.timestamp == THEN
    assert dict(made.headers) == {
        "origin": b"updates:3@17",
        "source": b"webhook",
        "delivery": b"d1",
        "received-at": str(THEN).encode(),
    }


def test_one_that_died_and_comes_back_is_still_the_same_one() -> None:
    [made] = become(received(change(), origin="updates:1@2", attempt="2"))
    assert header(made.headers, "origin") == "updates:1@2"
    assert header(made.headers, "attempt") is None


def test_what_the_door_makes_of_a_post_can_be_read_here() -> None:
    body = b'{"object":"page","entry":[{"id":"77","time":1773000000,"changes":[%s]}]}' % saying(area="a")
    [record] = read(body, delivery="d1", received_at=THEN).records
    assert (record.topic, record.key) == (UPDATES, LEAD.encode())
    update = typed(
        Received(
            topic=record.topic,
            partition=0,
            offset=0,
            key=record.key,
            value=record.value,
            headers=record.headers,
            timestamp=THEN,
        )
    )
    assert (update["page_id"], update["area"]) == ("77", "a")


def test_the_sample_of_the_dashboard_goes_through_and_is_marked() -> None:
    [made] = become(received(saying(leadgen_id=444444444444), key=b"444444444444"))
    assert made.value is not None
    assert CODEC.decode(made.value)["is_sample"]


@pytest.mark.parametrize("nothing", [None, 0, "0", "", [], {"id": 1}, True, 1.5, "none", "../me"])
def test_an_ad_or_a_form_that_is_none_is_null(nothing: object) -> None:
    update = typed(received(saying(ad_id=nothing, adgroup_id=nothing, form_id=nothing, page_id=nothing)))
    assert (update["ad_id"], update["adgroup_id"], update["form_id"]) == (None, None, None)
    assert update["page_id"] == "153125381133"  # that of the entry it came in


def test_the_page_is_null_where_neither_the_update_nor_its_entry_names_one() -> None:
    assert typed(received(saying(), entry_id="0"))["page_id"] is None


@pytest.mark.parametrize(
    ("said", "at"),
    [
        ("1773000000", 1773000000),
        (1773000000, 1773000000),
        ("1773000000000", None),  # milliseconds, or the year 58153: nobody guesses
        ("2026-03-08T20:00:00+0000", None),
        ("soon", None),
        ("", None),
        (0, None),
        (-1, None),
        (1773000000.5, None),
        (None, None),
        ({"at": 1773000000}, None),
    ],
)
def test_a_moment_that_cannot_be_read_costs_nothing_but_itself(said: object, at: int | None) -> None:
    update = typed(received(saying(updated_time=said, event="e")))
    assert update["updated_at"] == (None if at is None else datetime.fromtimestamp(at, tz=UTC))
    assert update["event"] == "e"
    assert json.loads(update["value"])["updated_time"] == said


@pytest.mark.parametrize(
    ("named", "read"),
    [
        (["a", "b"], ["a", "b"]),
        ([], []),
        (None, []),
        ("a", []),
        ({"a": 1}, []),
        (["a", 1, None, "", ["b"], "c"], ["a", "c"]),
    ],
)
def test_names_of_fields_are_those_that_are_texts(named: object, read: list[str]) -> None:
    update = typed(received(saying(updated_fields=named)))
    assert update["updated_fields"] == read
    assert json.loads(update["value"])["updated_fields"] == named


def test_half_a_surrogate_pair_costs_the_text_and_not_the_update() -> None:
    update = typed(received(change(f'{{"leadgen_id":{LEAD},"area":"\\ud83d","event":"e"}}')))
    assert (update["area"], update["event"]) == (None, "e")
    assert '"\\ud83d"' in update["value"]


@pytest.mark.parametrize("said", ["", "-5", "9" * 40, "9" * 400, "١٢", "yesterday"])
def test_a_header_of_somebody_else_costs_no_update(said: str) -> None:
    assert typed(received(change(), received_at=said))["received_at"] is None


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "not-json"),
        (b"", "not-json"),
        (b"\xff\xfe", "not-json"),
        (b'{"field":"leadgen_update","value":{"leadgen_id":1},"value":{"leadgen_id":2}}', "not-json"),
        (b"[]", "change-not-an-object"),
        (b'{"field":"leadgen_update"}', "value-not-an-object"),
        (change("[1]"), "value-not-an-object"),
        (b'{"field":"leadgen","value":{"leadgen_id":1}}', "not-an-update"),
        (b'{"value":{"leadgen_id":1}}', "not-an-update"),
        (change("{}"), "lead-id-missing"),
        (change('{"leadgen_id":0}'), "lead-id-missing"),
        (change('{"leadgen_id":1.5}'), "lead-id-not-an-id"),
    ],
)
def test_what_is_no_update_is_dead_with_its_bytes_untouched(value: bytes | None, reason: str) -> None:
    dead, fate = become(received(value))
    assert (dead.topic, dead.key, dead.value) == (DEAD, LEAD.encode(), value)
    assert [header(dead.headers, name) for name in ("stage", "fate-reason", "origin")] == [
        "update",
        reason,
        "updates:3@17",
    ]
    assert (fate.topic, fate.key) == (FATES, b"update/updates:3@17")
    assert json.loads(fate.value or b"")["fate"] == "dead"


def test_bytes_that_avro_cannot_carry_are_dead_and_of_a_known_lead() -> None:
    """Half a pair as bytes of its own: Meta escapes, so only somebody else would."""
    half = b'{"field":"leadgen_update","value":{"leadgen_id":%s,"page_id":7,"note":"\xed\xa0\xbd"}}' % LEAD.encode()
    dead, fate = become(received(half))
    assert header(dead.headers, "fate-reason") == "does-not-fit"
    told = json.loads(fate.value or b"")
    assert (told["lead_id"], told["page_id"]) == (LEAD, "7")


def test_an_update_that_kafka_never_takes_is_dead() -> None:
    broker = Broker(too_large=LEAD_UPDATES)
    dead, _ = become(received(change()), broker=broker)
    assert (dead.topic, dead.value, header(dead.headers, "fate-reason")) == (DEAD, change(), "unacceptable")


def test_a_broker_that_does_not_answer_is_waited_for() -> None:
    broker = Broker(refusals=3)
    [made] = become(received(change()), broker=broker)
    assert (made.topic, broker.tries) == (LEAD_UPDATES, 4)


def test_updates_of_one_lead_wait_for_each_other_and_those_of_others_do_not() -> None:
    step = Updates(
        codec=CODEC,
        producer=Broker(),
        limit=Limit(worker="updates", per_minute=1, clock=lambda: 0.0),
        clock=lambda: NOW,
    )
    assert step.key(received(saying(area="a"))) == step.key(received(saying(area="b")))
    assert step.key(received(change())) != step.key(received(change(), key=b"1"))
    assert step.key(received(change(), key=None)) == (3, 17)


def test_they_are_counted_apart_from_leads() -> None:
    def counted(outcome: str) -> float:
        return REGISTRY.get_sample_value("leadstream_records_total", {"worker": "updates", "outcome": outcome}) or 0.0

    before = counted("typed"), counted("dead")
    become(received(change()))
    become(received(b"no update"))
    assert (counted("typed") - before[0], counted("dead") - before[1]) == (1, 1)


ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec=None), max_size=8)
    | st.sampled_from(["", "0", LEAD, "1773000000", "ai_agent_updates", "9" * 70]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
MEMBERS = st.sampled_from(
    ["page_id", "form_id", "ad_id", "adgroup_id", "updated_time", "area", "event", "updated_fields", "later"]
)


@given(st.dictionaries(MEMBERS, ANYTHING, max_size=9), st.sampled_from([LEAD, int(LEAD)]))
def test_an_update_that_names_a_lead_is_never_lost_whatever_else_it_says(said: dict[str, Any], lead: object) -> None:
    text = json.dumps({"leadgen_id": lead} | said)
    update = typed(received(change(text)))
    assert (update["lead_id"], update["value"]) == (LEAD, text)


@given(
    st.binary(max_size=60)
    | ANYTHING.map(lambda value: json.dumps({"field": "leadgen_update", "value": value}).encode())
)
def test_whatever_lies_there_is_typed_or_dead_and_never_both(value: bytes) -> None:
    records = become(received(value))
    topics = [record.topic for record in records]
    assert topics in ([LEAD_UPDATES], [DEAD, FATES])
    if topics[0] == DEAD:
        assert records[0].value == value
