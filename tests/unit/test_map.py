"""A details record becomes a lead, a tombstone or a dead letter, with the timestamp it had."""

import asyncio
from collections.abc import Iterator, Sequence

import pytest
import stamina

from ingest.codec import Codec
from ingest.records import DEAD, DETAILS, FATES, LEADS, Received, Record, header
from ingest.registry import NotRegistered, RegistryUnavailable
from processors.limit import Limit
from processors.map import Map
from processors.mapping.live import Live
from schemas.shapes import Lead, LeadDetails
from tests.doubles import Broker
from tests.mapped import a_record

DETAILS_CODEC: Codec[LeadDetails] = Codec("LeadDetails", schema_id=1)
LEAD_CODEC: Codec[Lead] = Codec("Lead", schema_id=2)
NOW = 1_795_000_000_000
THEN = NOW - 86_400_000
LEAD = "55459717045641545"


@pytest.fixture(autouse=True)
def _no_pauses() -> Iterator[None]:
    """Ten attempts without pauses stand for attempts without end."""
    with stamina.set_testing(True, attempts=10):
        yield


class Frames:
    """Decodes with our own schema, after the errors it is told to give."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)

    async def __call__(self, frame: bytes) -> LeadDetails:
        if self.errors:
            raise self.errors.pop(0)
        return DETAILS_CODEC.decode(frame)


class NoTargets:
    now: Sequence[Live] = ()


def details(answer: str = f'{{"id":"{LEAD}","field_data":[{{"name":"email","values":["a@example.com"]}}]}}') -> bytes:
    return DETAILS_CODEC.encode(a_record(answer))


def received(value: bytes | None, key: bytes | None = LEAD.encode()) -> Received:
    return Received(
        topic=DETAILS,
        partition=0,
        offset=3,
        key=key,
        value=value,
        headers=(("origin", b"2@7"), ("source", b"webhook"), ("received-at", str(THEN).encode())),
        timestamp=THEN,
    )


def mapped(
    record: Received, *, broker: Broker | None = None, frames: Frames | None = None, limit: Limit | None = None
) -> list[Record]:
    broker = broker or Broker()
    step = Map(
        details=frames or Frames(),
        codec=LEAD_CODEC,
        mappings=NoTargets(),
        producer=broker,
        limit=limit or Limit(worker="map", per_minute=10, clock=lambda: 0.0),
        clock=lambda: NOW,
    )
    asyncio.run(step.run(record))
    return broker.records


def test_a_lead_keeps_its_key_its_origin_and_the_time_of_its_details() -> None:
    [record] = mapped(received(details()))
    assert (record.topic, record.key, record.timestamp) == (LEADS, LEAD.encode(), THEN)
    assert record.value is not None
    assert LEAD_CODEC.decode(record.value)["email"] == "a@example.com"
    assert dict(record.headers) == {
        "origin": b"2@7",
        "source": b"webhook",
        "received-at": str(THEN).encode(),
        "form-version": b"v" * 64,
        "targets": b"",
    }


def test_a_tombstone_of_details_is_a_tombstone_of_the_lead() -> None:
    [record] = mapped(received(None))
    assert (record.topic, record.key, record.value) == (LEADS, LEAD.encode(), None)


@pytest.mark.parametrize(
    ("value", "key", "reason"),
    [
        (b"no frame", LEAD.encode(), "not-framed"),
        (b"\x00\x00\x00\x00\x01damaged", LEAD.encode(), "damaged"),
        (details("[]"), LEAD.encode(), "not-an-object"),
        (details(), None, "no-key"),
    ],
)
def test_what_cannot_be_mapped_is_dead_with_its_bytes_untouched(value: bytes, key: bytes | None, reason: str) -> None:
    dead, fate = mapped(received(value, key))
    assert (dead.topic, dead.key, dead.value) == (DEAD, key, value)
    assert header(dead.headers, "fate-reason") == reason
    assert header(dead.headers, "stage") == "map"
    assert (fate.topic, fate.key) == (FATES, b"map/2@7")


def test_what_cannot_be_mapped_is_given_up_no_faster_than_the_limit_says() -> None:
    now, pauses = [0.0], []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        now[0] += seconds

    limit = Limit(worker="map", per_minute=1, clock=lambda: now[0], pause=pause)
    for _ in range(2):
        assert len(mapped(received(b"no frame"), limit=limit)) == 2
    assert pauses == [60.0]


def test_a_schema_that_nobody_registered_is_dead() -> None:
    dead, _ = mapped(received(details()), frames=Frames(NotRegistered("40403")))
    assert header(dead.headers, "fate-reason") == "unknown-schema"


def test_a_registry_that_is_away_is_waited_for() -> None:
    away = RegistryUnavailable("away")
    [record] = mapped(received(details()), frames=Frames(away, away, away))
    assert record.topic == LEADS


def test_a_broker_that_is_away_is_waited_for() -> None:
    broker = Broker()
    broker.refusals = 5
    [record] = mapped(received(details()), broker=broker)
    assert record.topic == LEADS


def test_a_lead_that_kafka_never_takes_is_a_dead_letter() -> None:
    dead, _ = mapped(received(details()), broker=Broker(too_large=LEADS))
    assert header(dead.headers, "fate-reason") == "unacceptable"
