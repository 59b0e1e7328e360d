"""What a flight of the canary shows, and what is said of it."""

import asyncio
from collections.abc import Iterable

import pytest

from deploy.canary.judging import Flight, Limits, Outcome, Stuck, Times, Told, Trace, judge
from deploy.canary.lookout import Arrival, Lookout, fate_of, names
from deploy.canary.words import in_json, lines, sentence
from ingest.records import DETAILS, FATES, LEADS, RAW, Headers, Received, fate_record, headers
from ingest.settings import KafkaSettings

AT = 1_795_500_000_000
LEAD, FORM = "55459717045641545", "616180339887499"
LIMITS = Limits(timeout=120, objective=60)
CAME = Times(asked_at=AT, received_at=AT + 2_000, raw_at=AT + 2_010, fetched_at=AT + 3_000, seen_at=AT + 3_500)


def record(topic: str, value: bytes | None = b"x", key: bytes = LEAD.encode(), said: Headers = ()) -> Received:
    return Received(topic=topic, partition=3, offset=7, key=key, value=value, headers=said, timestamp=AT + 2_010)


def lost(stuck: Stuck | None, told: Told | None = None) -> Flight:
    return Flight(
        form_id=FORM, outcome="lost", lead_id=LEAD, times=Times(asked_at=AT, raw_at=AT + 50), stuck=stuck, told=told
    )


def test_each_stage_takes_from_the_end_of_the_one_before_and_the_whole_from_asking_to_seeing() -> None:
    assert CAME.seconds == {"door": 2.0, "raw": 0.01, "fetch": 0.99, "map": 0.5}
    assert CAME.whole == 3.5


def test_a_stage_of_which_an_end_is_not_known_took_nobody_knows_how_long() -> None:
    times = Times(asked_at=AT, received_at=AT + 2_000, fetched_at=AT + 3_000)
    assert times.seconds == {"door": 2.0, "raw": None, "fetch": None, "map": None}
    assert times.whole is None


def test_where_a_clock_is_behind_a_stage_takes_nothing_and_not_less() -> None:
    assert Times(asked_at=AT, received_at=AT - 9_000, seen_at=AT - 1).seconds["door"] == 0.0
    assert Times(asked_at=AT, seen_at=AT - 1).whole == 0.0


@pytest.mark.parametrize(("seen_at", "outcome"), [(60_000, "in-time"), (60_001, "late"), (119_000, "late")])
def test_what_came_within_the_objective_came_in_time(seen_at: int, outcome: Outcome) -> None:
    assert judge(Times(asked_at=AT, seen_at=AT + seen_at), LIMITS) == outcome


def test_a_lead_is_stuck_before_the_first_topic_that_does_not_have_it() -> None:
    raw, details = record(RAW), record(DETAILS)
    assert [trace.stuck for trace in (Trace(), Trace(raw=raw), Trace(raw=raw, details=details))] == [
        "door",
        "fetch",
        "map",
    ]


def test_how_far_a_lead_came_is_told_by_the_clocks_of_those_it_passed() -> None:
    raw = record(RAW, said=headers({"received-at": AT + 2_000}))
    assert Trace(raw=raw).times(AT) == Times(asked_at=AT, received_at=AT + 2_000, raw_at=AT + 2_010)
    assert Trace(raw=record(RAW, said=headers({"received-at": "then"}))).times(AT).received_at is None
    assert Trace().times(AT) == Times(asked_at=AT)


def test_what_another_stage_told_does_not_say_why_the_lead_is_stuck() -> None:
    fetched = Told(stage="fetch", fate="fetched", reason="")
    assert Trace(raw=record(RAW), told=fetched).told_there == fetched
    assert Trace(raw=record(RAW), details=record(DETAILS), told=fetched).told_there is None


@pytest.mark.parametrize(
    ("flight", "words"),
    [
        (Flight(form_id=FORM, outcome="in-time", lead_id=LEAD, times=CAME), ["In time: 3.500 s", "60 s"]),
        (Flight(form_id=FORM, outcome="late", lead_id=LEAD, times=CAME), ["Late: 3.500 s", "leadstream status"]),
        (lost("door"), ["not on leads.v1 within 120 s", "no notification", "leadstream doctor", "leadstream serve"]),
        (lost("fetch"), ["on meta.leadgen.raw", "leadstream work fetch"]),
        (lost("map"), ["on meta.leadgen.details", "leadstream work map"]),
        (lost(None), ["cannot be read"]),
        (lost("fetch", Told(stage="fetch", fate="parked", reason="permission")), ["permission", "parked list --lead"]),
        (lost("fetch", Told(stage="fetch", fate="waiting", reason="timeout")), ["waits", "timeout"]),
        (lost("map", Told(stage="map", fate="dead", reason="no-id")), ["map", "no-id", f"dead list --lead {LEAD}"]),
        (lost("fetch", Told(stage="fetch", fate="duplicate", reason="seen")), ["duplicate", "seen"]),
        (Flight(form_id=FORM, outcome="not-asked", reason="page-limit"), ["Not flown", "page-limit", "doctor"]),
        (Flight(form_id=FORM, outcome="not-asked", reason="background"), ["belongs to leads"]),
        (Flight(form_id=FORM, outcome="not-made", reason="permission"), ["made no test lead", "permission"]),
        (Flight(form_id=FORM, outcome="occupied", reason="young", lead_id=LEAD), [LEAD, "younger than 120 s"]),
        (Flight(form_id=FORM, outcome="occupied", reason="chosen", lead_id=LEAD), [LEAD, "Testing Tool"]),
        (Flight(form_id=FORM, outcome="unread"), ["KAFKA_BOOTSTRAP_SERVERS"]),
        (Flight(form_id=FORM, outcome="stopped", lead_id=LEAD), ["ended by you"]),
    ],
)
def test_a_sentence_says_what_became_of_it_and_what_to_do(flight: Flight, words: Iterable[str]) -> None:
    said = sentence(flight, LIMITS)
    assert [word for word in words if word not in said] == []
    assert said.endswith((".", "?."))


def test_a_person_reads_each_stage_that_was_passed() -> None:
    assert list(lines(Flight(form_id=FORM, outcome="in-time", lead_id=LEAD, times=CAME), LIMITS)) == [
        f"test lead {LEAD} on form {FORM}, made at 06:00:00 UTC",
        "     2.000 s  received at the door",
        "     0.010 s  on meta.leadgen.raw",
        "     0.990 s  fetched",
        "     0.500 s  on leads.v1",
        "In time: 3.500 s, with an objective of 60 s.",
    ]


def test_a_test_lead_that_is_still_at_meta_is_told() -> None:
    [*_, last] = lines(Flight(form_id=FORM, outcome="in-time", lead_id=LEAD, times=CAME, left="timeout"), LIMITS)
    assert f"{LEAD} is still at Meta" in last
    assert "timeout" in last


def test_a_program_reads_the_same() -> None:
    told = Told(stage="fetch", fate="parked", reason="permission")
    said = in_json(lost("fetch", told), LIMITS)
    assert said == {
        "outcome": "lost",
        "reason": None,
        "form_id": FORM,
        "lead_id": LEAD,
        "asked_at": "2026-11-24T06:00:00.000+00:00",
        "seconds": {"door": None, "raw": None, "fetch": None, "map": None, "whole": None},
        "objective": 60,
        "timeout": 120,
        "stuck": "fetch",
        "fate": "parked",
        "fate_reason": "permission",
        "deleted": True,
        "said": sentence(lost("fetch", told), LIMITS),
    }
    occupied = in_json(Flight(form_id=FORM, outcome="occupied", reason="chosen", lead_id=LEAD), LIMITS)
    assert (occupied["seconds"], occupied["deleted"]) == (None, False)


def test_a_notification_names_its_lead_as_a_number_or_as_text() -> None:
    def change(lead: str) -> Received:
        return record(RAW, b'{"field":"leadgen","value":{"leadgen_id":' + lead.encode() + b"}}", key=b"1")

    assert names(change(LEAD), LEAD)
    assert names(change(f'"{LEAD}"'), LEAD)
    assert not names(change(LEAD + "1"), LEAD)
    assert not names(record(RAW, b"nonsense"), LEAD)
    assert not names(record(RAW, None), LEAD)


def test_a_fate_is_that_of_the_lead_it_names() -> None:
    told = fate_record(record(RAW), "parked", stage="fetch", reason="permission", page_id="1", lead_id=LEAD)
    assert fate_of(record(FATES, told.value), LEAD) == Told(stage="fetch", fate="parked", reason="permission")
    assert fate_of(record(FATES, told.value), "1") is None
    assert fate_of(record(FATES, None), LEAD) is None


def came(*records: Received, wanted: str = LEAD, asked_first: bool = False) -> Arrival | None:
    """What a lookout has of the wanted lead, when these lay on leads.v1."""

    async def look() -> Arrival | None:
        lookout = Lookout(KafkaSettings(kafka_bootstrap_servers="127.0.0.1:1"), {})
        arrival = lookout.arrival(wanted) if asked_first else None
        for each in records:
            lookout.take(each)
        await asyncio.sleep(0)  # until what was handed over is taken
        arrival = arrival or lookout.arrival(wanted)
        return arrival.result() if arrival.done() else None

    return asyncio.run(look())


@pytest.mark.parametrize("asked_first", [True, False])
def test_a_lead_is_seen_whether_it_comes_before_it_is_known_which_is_wanted_or_after(asked_first: bool) -> None:
    said = headers({"source": "webhook", "received-at": AT + 2_000, "origin": "3@7"})
    arrival = came(record(LEADS, key=b"1", said=said), record(LEADS, said=said), asked_first=asked_first)
    assert arrival is not None
    assert (arrival.fetched_at, arrival.received_at, arrival.origin) == (AT + 2_010, AT + 2_000, "3@7")
    assert came(record(LEADS, said=said), wanted="1", asked_first=asked_first) is None


def test_what_a_backfill_brought_or_a_tombstone_proves_nothing_of_the_door() -> None:
    webhook, backfill = headers({"source": "webhook"}), headers({"source": "backfill"})
    assert came(record(LEADS, said=backfill), record(LEADS)) is None
    assert came(record(LEADS, None, said=webhook)) is None
    assert came(record(LEADS, said=backfill), record(LEADS, said=webhook)) is not None
