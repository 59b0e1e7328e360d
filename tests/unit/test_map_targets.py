"""A lead becomes a record of each target whose filter takes it; what fails for one of them is that target's alone."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest
import stamina
from prometheus_client import REGISTRY

from ingest import telemetry
from ingest.codec import Codec
from ingest.records import DEAD, DETAILS, FATES, LEADS, Received, Record, header, headers
from processors.limit import Limit
from processors.map import Map
from processors.mapping.avro import avro_schema
from processors.mapping.live import Live
from processors.mapping.reading import read_mapping
from processors.mapping.target import Target
from schemas.shapes import Lead, LeadDetails
from tests.doubles import Broker
from tests.mapped import a_record

DETAILS_CODEC: Codec[LeadDetails] = Codec("LeadDetails", schema_id=1)
LEAD_CODEC: Codec[Lead] = Codec("Lead", schema_id=2)
NOW = 1_795_000_000_000
THEN = NOW - 86_400_000
LEAD = "55459717045641545"
SALES, NEWS = "leads.crm.sales.v1", "leads.crm.news.v1"


@pytest.fixture(autouse=True)
def _no_pauses() -> Iterator[None]:
    with stamina.set_testing(True, attempts=10):
        yield


def live(target: str, *, says: str = "", name: str = "email", more: str = "") -> Live:
    """A target with one field, taken from the answer with this key."""
    text = f"""
target: {target}
owner: the tests
doc: A target.
{says}
fields:
  {name}:
    doc: The answer.
    from: [{{field: {name}}}]
{more}
"""
    mapping = read_mapping(text, file=f"{target}.yaml").mapping
    codec: Codec[dict[str, object]] = Codec(avro_schema(mapping), schema_id=7)
    return Live(target=Target(mapping), codec=codec, headers=headers({"mapping": mapping.hash}))


@dataclass
class Files:
    """The mappings in force, as a test sets them."""

    now: Sequence[Live] = field(default=())


def details(**answers: str) -> bytes:
    data = [{"name": key, "values": [value]} for key, value in answers.items()]
    return DETAILS_CODEC.encode(
        a_record(json.dumps({"id": LEAD, "created_time": "2026-11-24T08:00:00+0000", "field_data": data}))
    )


def received(value: bytes | None, offset: int = 3) -> Received:
    return Received(
        topic=DETAILS,
        partition=0,
        offset=offset,
        key=LEAD.encode(),
        value=value,
        headers=(("origin", b"2@7"), ("source", b"webhook")),
        timestamp=THEN,
    )


class Step:
    """Map with a broker, the mappings a test gives it, and a clock that stands still."""

    def __init__(self, *lives: Live, too_large: str | None = None) -> None:
        self.broker = Broker(too_large=too_large)
        self.files = Files(lives)
        self.clock = NOW
        self._step = Map(
            details=self._decode,
            codec=LEAD_CODEC,
            mappings=self.files,
            producer=self.broker,
            limit=Limit(worker="map", per_minute=1, clock=lambda: 0.0),
            clock=lambda: self.clock,
        )

    async def _decode(self, frame: bytes) -> LeadDetails:
        return DETAILS_CODEC.decode(frame)

    def map(self, value: bytes | None) -> list[Record]:
        before = len(self.broker.records)
        asyncio.run(self._step.run(received(value)))
        return self.broker.records[before:]


def on(records: Sequence[Record], topic: str) -> Record:
    [record] = [record for record in records if record.topic == topic]
    return record


def test_a_lead_goes_to_each_target_with_its_key_its_time_and_what_made_it() -> None:
    sales, news = live("sales"), live("news")
    records = Step(sales, news).map(details(email="a@example.com"))
    assert [record.topic for record in records] == [LEADS, SALES, NEWS]
    record = on(records, SALES)
    assert (record.key, record.timestamp) == (LEAD.encode(), THEN)
    assert dict(record.headers) == {
        "origin": b"2@7",
        "source": b"webhook",
        "form-version": b"v" * 64,
        "mapping": sales.mapping.hash.encode(),
    }
    assert record.value is not None
    assert sales.codec.decode(record.value) == {"lead_id": LEAD, "email": "a@example.com", "unmapped": None}


def test_a_lead_tells_for_which_targets_it_was_meant_also_where_it_failed() -> None:
    strict = live("strict", name="budget", more="    required: true")
    other = live("other", says="filter: {pages: ['1']}")
    records = Step(live("sales"), strict, other).map(details(email="a@example.com"))
    assert header(on(records, LEADS).headers, "targets") == "sales.v1,strict.v1"
    assert header(on(Step().map(details()), LEADS).headers, "targets") == ""


def test_a_test_lead_is_on_leads_and_nowhere_else() -> None:
    strict = live("strict", name="budget", more="    required: true")
    [record] = Step(live("sales"), strict).map(details(email="test@meta.com"))
    assert (record.topic, header(record.headers, "targets")) == (LEADS, "")
    assert record.value is not None
    assert LEAD_CODEC.decode(record.value)["is_test"]


def test_what_fails_for_one_target_is_dead_for_that_one_and_the_others_get_it() -> None:
    strict = live("strict", name="budget", more="    required: true")
    value = details(email="a@example.com")
    records = Step(live("sales"), strict).map(value)
    assert [record.topic for record in records] == [LEADS, SALES, DEAD, FATES]
    dead, fate = on(records, DEAD), on(records, FATES)
    assert (dead.key, dead.value) == (LEAD.encode(), value)
    said = {name: header(dead.headers, name) for name in ("stage", "target", "field", "fate-reason", "origin")}
    assert said == {
        "stage": "map",
        "target": "strict.v1",
        "field": "budget",
        "fate-reason": "required",
        "origin": "2@7",
    }
    assert fate.key == b"map/2@7/strict.v1"
    told = json.loads(fate.value or b"")
    assert (told["fate"], told["page_id"], told["lead_id"]) == ("dead", "153125381133", LEAD)


def test_a_lead_that_fails_for_several_fields_names_them_all_and_the_first_ones_reason() -> None:
    more = """    transform: [email]
  phone: {doc: Missing., from: [{field: phone}], required: true}
"""
    dead = on(Step(live("strict", more=more)).map(details(email="no address")), DEAD)
    assert (header(dead.headers, "field"), header(dead.headers, "fate-reason")) == ("email,phone", "email")


@pytest.mark.parametrize("too_large", [None, SALES])
def test_what_becomes_of_a_lead_is_counted_by_target_and_each_failure_by_field(too_large: str | None) -> None:
    def counted(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(name, labels) or 0.0

    def counts() -> list[float]:
        return [
            counted("leadstream_crm_records_total", target="sales.v1", outcome="mapped"),
            counted("leadstream_crm_records_total", target="sales.v1", outcome="dead"),
            counted("leadstream_crm_records_total", target="strict.v1", outcome="dead"),
            counted("leadstream_mapping_failures_total", target="strict.v1", field="budget", reason="required"),
        ]

    before = counts()
    strict = live("strict", name="budget", more="    required: true")
    Step(live("sales"), strict, too_large=too_large).map(details(email="a@example.com"))
    grown = [now - then for now, then in zip(counts(), before, strict=True)]
    assert grown == ([0, 1, 1, 1] if too_large else [1, 0, 1, 1])


def test_a_tombstone_erases_the_lead_on_every_topic_whatever_their_filters() -> None:
    records = Step(live("sales"), live("other", says="filter: {pages: ['1']}")).map(None)
    assert [(record.topic, record.key, record.value) for record in records] == [
        (topic, LEAD.encode(), None) for topic in (LEADS, SALES, "leads.crm.other.v1")
    ]


def test_a_record_that_kafka_never_takes_is_dead_for_its_target_only() -> None:
    records = Step(live("sales"), live("news"), too_large=SALES).map(details(email="a@example.com"))
    assert [record.topic for record in records] == [LEADS, DEAD, FATES, NEWS]
    dead = on(records, DEAD)
    assert (header(dead.headers, "target"), header(dead.headers, "fate-reason")) == ("sales.v1", "unacceptable")


def test_a_lead_that_kafka_never_takes_is_dead_for_all() -> None:
    records = Step(live("sales"), too_large=LEADS).map(details(email="a@example.com"))
    assert [record.topic for record in records] == [DEAD, FATES]
    assert header(on(records, DEAD).headers, "target") is None


def test_a_defect_that_one_target_meets_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    sales, news = live("sales"), live("news")

    def fails(lead: Lead) -> None:
        raise ZeroDivisionError(lead["email"])

    monkeypatch.setattr(sales.target, "map", fails)
    records = Step(sales, news).map(details(email="a@example.com"))
    assert [record.topic for record in records] == [LEADS, DEAD, FATES, NEWS]
    dead = on(records, DEAD)
    assert header(dead.headers, "fate-reason") == "defect"
    assert header(dead.headers, "__connect.errors.exception.class.name") == "ZeroDivisionError"
    assert b"a@example.com" not in b"".join(value for _, value in dead.headers)


def test_failures_of_one_target_slow_down_nobody_and_are_told_once_a_minute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The limit of this worker is one record a minute: a lead that waited for it would never end here."""
    told: list[tuple[str, object]] = []
    monkeypatch.setattr(telemetry, "log", lambda _, event, **ids: told.append((event, ids["times"])))
    step = Step(live("strict", name="budget", more="    required: true"))
    for minute in (0, 0, 0, 61_000):
        step.clock = NOW + minute
        assert [record.topic for record in step.map(details())] == [LEADS, DEAD, FATES]
    assert told == [("mapping.failing", 1), ("mapping.failing", 3)]


def test_a_changed_mapping_is_taken_between_two_records() -> None:
    before, after = live("sales"), live("sales", name="phone")
    step = Step(before)
    first = on(step.map(details(email="a@example.com")), SALES)
    step.files.now = (after,)
    second = on(step.map(details(email="a@example.com", phone="1")), SALES)
    assert header(first.headers, "mapping") == before.mapping.hash
    assert header(second.headers, "mapping") == after.mapping.hash
    assert second.value is not None
    assert after.codec.decode(second.value) == {
        "lead_id": LEAD,
        "phone": "1",
        "unmapped": '{"answers":{"email":["a@example.com"]}}',
    }
