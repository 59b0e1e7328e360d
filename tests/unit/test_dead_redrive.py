"""Dead letters: which are open, where each goes back to, and what is sent. On topics in memory."""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from deploy.dead.ledger import Filter, Letter, State, read_letter
from deploy.dead.redrive import Plan, letters, open_letters, parcels, plan, take_stock
from deploy.sending import Later, send
from ingest.kafka import NotAcknowledged
from ingest.records import (
    AGAIN,
    DEAD,
    DETAILS,
    FATES,
    RAW,
    UPDATES,
    Failure,
    Fate,
    Received,
    Record,
    Stage,
    dead_letter,
    fate_record,
    header,
    headers,
)
from tests.cluster import NOW, Cluster

ALL = Filter()
LEAD, PAGE = "1234567890", "77"


def change(lead: str = LEAD, field: str = "leadgen") -> bytes:
    value = {"leadgen_id": lead, "page_id": PAGE, "form_id": "5"}
    return json.dumps({"field": field, "value": value}).encode()


def raw(cluster: Cluster, lead: str = LEAD, key: str = PAGE) -> Received:
    said = headers({"source": "webhook", "delivery": "d1", "received-at": NOW})
    return cluster.put(Record(topic=RAW, key=key.encode(), value=change(lead), headers=said))


def dies(
    cluster: Cluster,
    received: Received,
    *,
    stage: Stage = "fetch",
    reason: str = "not-found",
    target: str | None = None,
    fields: tuple[str, ...] = (),
) -> Received:
    """What a worker writes when it gives a record up."""
    failure = Failure(stage=stage, reason=reason, error="Missing", target=target, fields=fields)
    buried = cluster.put(dead_letter(received, failure, now=NOW))
    ends(cluster, received, "dead", stage=stage, reason=reason, target=target)
    return buried


def ends(
    cluster: Cluster,
    received: Received,
    fate: Fate,
    *,
    stage: Stage = "fetch",
    reason: str = "seen",
    target: str | None = None,
) -> None:
    told = fate_record(received, fate, stage=stage, reason=reason, page_id=PAGE, lead_id=LEAD, target=target)
    cluster.put(told)


def answered(cluster: Cluster, value: bytes | None = b"\0answer", *, timestamp: int = NOW - 86_400_000) -> Received:
    said = headers({"origin": "0@9", "source": "webhook"})
    return cluster.put(Record(topic=DETAILS, key=LEAD.encode(), value=value, headers=said, timestamp=timestamp))


def states(cluster: Cluster) -> list[State]:
    found = letters(cluster, cluster.topics, take_stock(cluster, cluster.topics), ALL)
    return [state for _, state in sorted(found, key=lambda told: told[0].received.timestamp)]


def redrive(cluster: Cluster, wanted: Filter = ALL) -> list[str]:
    """Plans and sends; the topics of what was sent."""
    stock = take_stock(cluster, cluster.topics)
    planned = plan(cluster, cluster.topics, stock, wanted)
    going = list(parcels(open_letters(cluster, cluster.topics, stock, wanted), planned))
    assert len(going) == planned.records
    later = Later(cluster, cluster.topics, planned.details_ends)
    asyncio.run(send(cluster, going, rate=1_000_000, later=later))
    return [parcel.record.topic for parcel in going]


def refusals(cluster: Cluster) -> list[str]:
    planned = plan(cluster, cluster.topics, take_stock(cluster, cluster.topics), ALL)
    return [why for *_, why in planned.refusals]


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


# ── which are open ──


def test_a_dead_letter_is_open(cluster: Cluster) -> None:
    dies(cluster, raw(cluster))
    assert states(cluster) == ["open"]


def test_one_whose_fate_was_not_told_is_open(cluster: Cluster) -> None:
    """The worker died between the dead letter and its fate, or the fate expired first: better twice than never."""
    cluster.put(dead_letter(raw(cluster), Failure(stage="fetch", reason="not-found", error="Missing"), now=NOW))
    assert states(cluster) == ["open"]


def test_a_second_redrive_sends_nothing(cluster: Cluster) -> None:
    for lead in ("11", "12", "13"):
        dies(cluster, raw(cluster, lead))
    assert redrive(cluster) == [AGAIN] * 3
    assert states(cluster) == ["redriven"] * 3
    assert redrive(cluster) == []
    assert len(cluster.on(AGAIN)) == 3


def test_a_lead_that_dies_again_is_open_again_and_its_first_letter_is_not(cluster: Cluster) -> None:
    dies(cluster, raw(cluster))
    redrive(cluster)
    [came_back] = cluster.on(AGAIN)
    dies(cluster, came_back)
    assert states(cluster) == ["superseded", "open"]
    assert redrive(cluster) == [AGAIN]
    assert states(cluster) == ["superseded", "redriven"]


def test_a_record_that_was_read_and_buried_twice_is_sent_once(cluster: Cluster) -> None:
    """After a crash, or a replay: the same raw record has two dead letters."""
    lies = raw(cluster)
    dies(cluster, lies)
    dies(cluster, lies)
    assert states(cluster) == ["superseded", "open"]
    assert redrive(cluster) == [AGAIN]


def test_a_redrive_of_an_earlier_letter_does_not_close_a_later_one(cluster: Cluster) -> None:
    """Its fate may come after the later letter, and the later letter's own fate may be missing."""
    lies = raw(cluster)
    first = dies(cluster, lies)
    cluster.put(dead_letter(lies, Failure(stage="fetch", reason="not-found", error="Missing"), now=NOW))
    ends(cluster, read_letter(first).received, "redriven")
    assert states(cluster) == ["superseded", "open"]


def test_a_record_that_came_to_another_end_since_is_open_no_more(cluster: Cluster) -> None:
    lies = raw(cluster)
    dies(cluster, lies)
    ends(cluster, lies, "duplicate")
    assert states(cluster) == ["superseded"]


def test_stages_are_told_apart(cluster: Cluster) -> None:
    """The same origin can die in fetch, and after a redrive in map."""
    dies(cluster, raw(cluster))
    redrive(cluster)
    answer = answered(cluster)
    origin = header(cluster.on(AGAIN)[0].headers, "origin")
    of_map = Record(topic=DETAILS, key=answer.key, value=b"\0", headers=headers({"origin": origin or ""}))
    dies(cluster, cluster.put(of_map), stage="map", reason="damaged")
    assert states(cluster) == ["redriven", "open"]


@pytest.mark.parametrize("value", [b"", b"not json", b"[]", b'{"fate": "redriven"}', None])
def test_a_fate_that_cannot_be_read_closes_nothing(cluster: Cluster, value: bytes | None) -> None:
    lies = raw(cluster)
    dies(cluster, lies)
    cluster.put(Record(topic=FATES, key=f"fetch/{lies.origin}".encode(), value=value))
    assert states(cluster) == ["open"]


def test_letters_are_filtered(cluster: Cluster) -> None:
    dies(cluster, raw(cluster, "11"))
    dies(cluster, raw(cluster, "12"), reason="expired")
    answer = answered(cluster)
    dies(cluster, answer, stage="map", reason="damaged")

    def found(**asked: object) -> list[str]:
        wanted = Filter(**asked)  # type: ignore[arg-type]  # one field of many kinds
        told = letters(cluster, cluster.topics, take_stock(cluster, cluster.topics), wanted)
        return sorted(letter.lead_id or "" for letter, _ in told)

    assert found() == ["11", "12", LEAD]
    assert found(stage="map") == [LEAD]
    assert found(reason="expired") == ["12"]
    assert found(lead_id="11") == ["11"]
    assert found(page_id=PAGE) == ["11", "12"]
    last = max(record.timestamp for record in cluster.on(DEAD))
    assert found(since=datetime.fromtimestamp(last / 1000, tz=UTC)) == [LEAD]


# ── where they go, and as what ──


def test_what_goes_back_is_untouched_and_says_what_became_of_it(cluster: Cluster) -> None:
    lies = raw(cluster)
    buried = dies(cluster, lies)
    redrive(cluster)
    [back] = cluster.on(AGAIN)
    assert (back.key, back.value) == (lies.key, lies.value)
    assert {name: value.decode() for name, value in back.headers} == {
        "source": "webhook",
        "delivery": "d1",
        "received-at": str(NOW),
        "origin": lies.origin,
        "attempt": "2",
        "first-failed-at": str(NOW),
    }
    fate = json.loads(cluster.on(FATES)[-1].value or b"")
    assert fate == {
        "fate": "redriven",
        "stage": "fetch",
        "origin": lies.origin,
        "reason": "not-found",
        "page_id": PAGE,
        "lead_id": LEAD,
        "topic": "t.meta.leadgen.dead",
        "partition": buried.partition,
        "offset": buried.offset,
    }


def test_attempts_are_counted_over_redrives_and_the_first_failure_is_remembered(cluster: Cluster) -> None:
    dies(cluster, raw(cluster))
    for attempt in ("2", "3", "4"):
        redrive(cluster)
        back = max(cluster.on(AGAIN), key=lambda record: record.offset)
        assert (back.header("attempt"), back.header("first-failed-at")) == (attempt, str(NOW))
        dies(cluster, back)


def test_a_letter_whose_record_was_not_acknowledged_stays_open(cluster: Cluster) -> None:
    """The fate comes after the record, never before."""
    dies(cluster, raw(cluster))
    cluster.refuses = AGAIN
    with pytest.raises(NotAcknowledged):
        redrive(cluster)
    assert states(cluster) == ["open"]
    assert len(cluster.on(FATES)) == 1


def test_a_redrive_that_dies_before_it_told_the_fate_sends_twice(cluster: Cluster) -> None:
    dies(cluster, raw(cluster))
    cluster.refuses = FATES
    with pytest.raises(NotAcknowledged):
        redrive(cluster)
    cluster.refuses = None
    assert redrive(cluster) == [AGAIN]
    assert len(cluster.on(AGAIN)) == 2


def test_a_letter_of_map_goes_to_details_with_the_timestamp_it_had_there(cluster: Cluster) -> None:
    """So that a redrive does not prolong how long an answer is kept."""
    answer = answered(cluster, timestamp=NOW - 60 * 86_400_000)
    dies(cluster, answer, stage="map", reason="does-not-fit")
    assert redrive(cluster) == [DETAILS]
    back = cluster.on(DETAILS)[-1]
    assert (back.key, back.value, back.timestamp) == (answer.key, answer.value, answer.timestamp)
    assert (back.header("origin"), back.header("attempt")) == ("0@9", "2")
    assert redrive(cluster) == []


def test_an_answer_never_replaces_a_newer_one(cluster: Cluster) -> None:
    dies(cluster, answered(cluster, b"\0old"), stage="map")
    answered(cluster, b"\0new")
    assert refusals(cluster) == ["its lead has a newer answer since"]
    assert redrive(cluster) == []


def test_an_erased_lead_does_not_rise(cluster: Cluster) -> None:
    dies(cluster, answered(cluster), stage="map")
    answered(cluster, None)
    assert refusals(cluster) == ["its lead was erased since"]
    assert redrive(cluster) == []


def test_an_answer_whose_time_is_over_does_not_come_back(cluster: Cluster) -> None:
    elsewhere = Cluster()
    dies(cluster, answered(elsewhere), stage="map")
    [why] = refusals(cluster)
    assert "expired" in why


def test_an_answer_that_comes_while_a_redrive_runs_is_not_replaced(cluster: Cluster) -> None:
    dies(cluster, answered(cluster, b"\0old"), stage="map")
    stock = take_stock(cluster, cluster.topics)
    planned = plan(cluster, cluster.topics, stock, ALL)
    going = parcels(open_letters(cluster, cluster.topics, stock, ALL), planned)
    answered(cluster, b"\0new")
    later = Later(cluster, cluster.topics, planned.details_ends)
    asyncio.run(send(cluster, going, rate=1_000_000, later=later))
    assert [record.value for record in cluster.on(DETAILS)] == [b"\0old", b"\0new"]
    assert states(cluster) == ["open"]


def test_an_answer_without_a_key_has_no_way_back(cluster: Cluster) -> None:
    dies(cluster, cluster.put(Record(topic=DETAILS, key=None, value=b"\0")), stage="map", reason="no-key")
    [why] = refusals(cluster)
    assert "no key" in why


# ── those of one target ──


SALES, BILLING = "sales.v1", "billing.v1"


def of_targets(cluster: Cluster) -> list[tuple[str | None, State]]:
    found = letters(cluster, cluster.topics, take_stock(cluster, cluster.topics), ALL)
    return [(letter.target, state) for letter, state in found]


def test_a_letter_of_a_target_says_which_fields_failed_and_is_open_by_itself(cluster: Cluster) -> None:
    """Though the same lead has one for another target, or as a whole."""
    answer = answered(cluster)
    dies(cluster, answer, stage="map", reason="required", target=SALES, fields=("email", "phone"))
    dies(cluster, answer, stage="map", reason="type", target=BILLING, fields=("plan",))
    dies(cluster, answer, stage="map", reason="damaged")
    assert states(cluster) == ["open"] * 3
    assert [read_letter(each).target for each in cluster.on(DEAD)] == [SALES, BILLING, None]
    assert [read_letter(each).fields for each in cluster.on(DEAD)] == [("email", "phone"), ("plan",), ()]
    assert {read_letter(each).identity.encode() for each in cluster.on(DEAD)} == {
        each.key for each in cluster.on(FATES)
    }


def test_a_letter_is_replaced_by_a_later_one_of_its_target_only(cluster: Cluster) -> None:
    answer = answered(cluster)
    for target in (SALES, BILLING, SALES):
        dies(cluster, answer, stage="map", target=target)
    assert states(cluster) == ["superseded", "open", "open"]


def test_letters_are_filtered_by_target(cluster: Cluster) -> None:
    answer = answered(cluster)
    dies(cluster, answer, stage="map", target=SALES)
    dies(cluster, answer, stage="map")
    dies(cluster, raw(cluster))
    found = letters(cluster, cluster.topics, take_stock(cluster, cluster.topics), Filter(target=SALES))
    assert [(letter.stage, letter.target) for letter, _ in found] == [("map", SALES)]


@pytest.mark.parametrize("wanted", [ALL, Filter(target=SALES), Filter(target=BILLING)])
def test_a_lead_goes_back_once_and_whole_for_all_its_targets(cluster: Cluster, wanted: Filter) -> None:
    """It is mapped for all of them again: what says that it failed for one does not go with it."""
    answer = answered(cluster)
    for target in (SALES, BILLING):
        dies(cluster, answer, stage="map", target=target, fields=("email",))
    assert redrive(cluster, wanted) == [DETAILS]
    back = cluster.on(DETAILS)[-1]
    assert (back.key, back.value, back.timestamp) == (answer.key, answer.value, answer.timestamp)
    assert {name: value.decode() for name, value in back.headers} == {
        "origin": "0@9",
        "source": "webhook",
        "attempt": "2",
        "first-failed-at": str(NOW),
    }
    assert states(cluster) == ["redriven", "redriven"]
    told = [each.key for each in cluster.on(FATES) if json.loads(each.value or b"")["fate"] == "redriven"]
    assert sorted(key or b"" for key in told) == [b"map/0@9/billing.v1", b"map/0@9/sales.v1"]
    assert redrive(cluster, wanted) == redrive(cluster) == []


def test_what_goes_back_with_others_is_told(cluster: Cluster) -> None:
    answer = answered(cluster)
    for target in (SALES, BILLING):
        dies(cluster, answer, stage="map", reason="required", target=target)
    dies(cluster, raw(cluster))
    planned = plan(cluster, cluster.topics, take_stock(cluster, cluster.topics), Filter(target=SALES))
    assert planned.ways == {("map", SALES, "required", DETAILS): 1}
    assert (planned.records, planned.others) == (1, 1)
    planned = plan(cluster, cluster.topics, take_stock(cluster, cluster.topics), ALL)
    assert (planned.ways.total(), planned.records, planned.others) == (3, 2, 0)


def test_a_lead_that_fails_for_one_of_its_targets_again_is_open_for_that_one(cluster: Cluster) -> None:
    answer = answered(cluster)
    for target in (SALES, BILLING):
        dies(cluster, answer, stage="map", target=target)
    redrive(cluster, Filter(target=SALES))
    dies(cluster, cluster.on(DETAILS)[-1], stage="map", target=BILLING)
    assert of_targets(cluster) == [(SALES, "redriven"), (BILLING, "superseded"), (BILLING, "open")]


def test_a_letter_that_is_not_wanted_sends_nothing_where_the_wanted_one_has_no_way_back(cluster: Cluster) -> None:
    dies(cluster, answered(cluster, b"\0old"), stage="map", target=SALES)
    newer = cluster.put(
        Record(topic=DETAILS, key=LEAD.encode(), value=b"\0new", headers=headers({"origin": "1@9"}), timestamp=NOW)
    )
    dies(cluster, newer, stage="map", target=BILLING)
    planned = plan(cluster, cluster.topics, take_stock(cluster, cluster.topics), Filter(target=SALES))
    assert (planned.records, planned.others, planned.refusals.total()) == (0, 0, 1)
    assert redrive(cluster, Filter(target=SALES)) == []
    assert states(cluster) == ["open", "open"]


def test_a_lead_that_got_a_newer_answer_meanwhile_keeps_all_its_letters_open(cluster: Cluster) -> None:
    answer = answered(cluster, b"\0old")
    for target in (SALES, BILLING):
        dies(cluster, answer, stage="map", target=target)
    stock = take_stock(cluster, cluster.topics)
    planned = plan(cluster, cluster.topics, stock, ALL)
    going = parcels(open_letters(cluster, cluster.topics, stock, ALL), planned)
    answered(cluster, b"\0new")
    later = Later(cluster, cluster.topics, planned.details_ends)
    asyncio.run(send(cluster, going, rate=1_000_000, later=later))
    assert [record.value for record in cluster.on(DETAILS)] == [b"\0old", b"\0new"]
    assert states(cluster) == ["open", "open"]


# ── those of the door ──


def at_the_door(cluster: Cluster, value: bytes, key: bytes | None = PAGE.encode()) -> Letter:
    said = headers({"delivery": "d1", "stage": "ingest", "fate-reason": "lead-id-not-an-id"})
    return read_letter(cluster.put(Record(topic=DEAD, key=key, value=value, headers=said), partition=1))


def test_a_letter_of_the_door_that_can_be_read_now_goes_to_fetch_under_an_origin_of_its_own(cluster: Cluster) -> None:
    """It never lay on raw: `1@0` alone would be some raw record's."""
    letter = at_the_door(cluster, change(), key=None)
    assert letter.received.origin == "dead:1@0"
    assert redrive(cluster) == [AGAIN]
    [back] = cluster.on(AGAIN)
    assert (back.key, back.value, back.origin) == (PAGE.encode(), change(), "dead:1@0")
    assert back.header("first-failed-at") == str(letter.received.timestamp)
    assert states(cluster) == ["redriven"]
    assert redrive(cluster) == []


@pytest.mark.parametrize(
    "value", [change(lead="no id"), change(field="leadgen_update"), b'{"field": "leadgen", "value": 7}', b"", b"\xff"]
)
def test_a_letter_of_the_door_that_is_still_no_lead_has_no_way_back(cluster: Cluster, value: bytes) -> None:
    at_the_door(cluster, value)
    [why] = refusals(cluster)
    assert "the door could still not read it" in why
    assert redrive(cluster) == []


def an_update(cluster: Cluster, value: bytes, *, key: str | None = LEAD) -> Received:
    said = headers({"source": "webhook", "received-at": NOW, "entry-id": PAGE})
    return cluster.put(Record(topic=UPDATES, key=None if key is None else key.encode(), value=value, headers=said))


@pytest.mark.parametrize("value", [change(field="leadgen_update"), change(), b"\xff no update"])
def test_an_update_goes_back_to_where_it_lay_untouched_and_is_still_the_same_one(
    cluster: Cluster, value: bytes
) -> None:
    """A second time is another matter: whoever died again is open again."""
    update = an_update(cluster, value)
    dies(cluster, update, stage="update", reason="not-an-update")
    assert redrive(cluster) == [UPDATES]
    assert states(cluster) == ["redriven"]
    _, back = cluster.on(UPDATES)
    assert (back.key, back.value, back.origin) == (LEAD.encode(), value, update.origin)
    assert back.origin.startswith("updates:")
    assert [back.header(name) for name in ("attempt", "stage", "received-at")] == ["2", None, str(NOW)]
    dies(cluster, back, stage="update", reason="not-an-update")
    assert states(cluster) == ["superseded", "open"]


def test_a_letter_of_an_update_is_found_by_its_lead_and_its_page(cluster: Cluster) -> None:
    values = [change(field="leadgen_update"), b"no update, but its entry had a page"]
    for value in values:
        found = read_letter(dies(cluster, an_update(cluster, value), stage="update"))
        assert (found.lead_id, found.page_id, found.notification) == (LEAD, PAGE, None)


def test_what_others_wrote_there_is_left_alone(cluster: Cluster) -> None:
    cluster.put(Record(topic=DEAD, key=None, value=None))
    assert refusals(cluster) == ["it was not written by leadstream"]


# ── how it is sent ──


def numbered(count: int) -> Iterator[Received]:
    elsewhere = Cluster()
    return (raw(elsewhere, str(number)) for number in range(count))


def test_no_more_is_sent_in_a_second_than_was_asked(cluster: Cluster) -> None:
    now = 0.0
    pace: list[tuple[float, int]] = []

    async def pause(seconds: float) -> None:
        nonlocal now
        now += seconds
        pace.append((now, len(cluster.on(AGAIN))))

    for lies in numbered(50):
        dies(cluster, lies)
    stock = take_stock(cluster, cluster.topics)
    going = parcels(open_letters(cluster, cluster.topics, stock, ALL), Plan())
    told: list[int] = []
    asyncio.run(send(cluster, going, rate=20, told=told.append, clock=lambda: now, pause=pause))
    assert now == 2.5
    assert all(sent <= 20 * at for at, sent in pace)
    assert sum(told) == 50
