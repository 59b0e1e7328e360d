"""What waits is listed and sent back once, and a person's word opens what was marked broken and nothing else."""

import json

import pytest
from pydantic import SecretStr

from deploy.parked.release import Entry, Filter, Stock, openings, parcel, parcels
from ingest.meta.pages import PageAccess
from ingest.records import AGAIN, FATES, PARKED, HeaderName, Received, Record, fate_record, header, headers
from processors.access import AccessStates, Standing, State
from tests.cluster import NOW, Cluster

PAGE = PageAccess(page_id="102", token=SecretStr("token"), app_id="7")
SISTER = PageAccess(page_id="104", token=SecretStr("token"), app_id="7")  # of one token


def park(cluster: Cluster, lead: int, *, page: str = "102", reason: str = "token-expired") -> Received:
    said: dict[HeaderName, str | int] = {
        "origin": f"0@{lead}",
        "attempt": 4,
        "fate-reason": reason,
        "first-failed-at": NOW,
    }
    change = {"field": "leadgen", "value": {"leadgen_id": str(lead), "page_id": page}}
    value = json.dumps(change).encode()
    return cluster.put(Record(topic=PARKED, key=page.encode(), value=value, headers=headers(said)))


def released(received: Received) -> Record:
    return fate_record(received, "released", stage="fetch", reason="r", page_id="102", lead_id="1")


def waiting(cluster: Cluster, wanted: Filter = Filter()) -> list[str | None]:  # noqa: B008  frozen
    return [entry.lead_id for entry in Stock(cluster, cluster.topics).entries(cluster, wanted)]


def test_what_was_released_waits_no_more() -> None:
    cluster = Cluster()
    first, _ = park(cluster, 1), park(cluster, 2)
    cluster.put(released(first))
    assert waiting(cluster) == ["2"]


def test_what_was_parked_again_waits_once() -> None:
    cluster = Cluster()
    cluster.put(released(park(cluster, 1)))
    park(cluster, 1)
    park(cluster, 1, reason="permission")
    assert waiting(cluster) == ["1"]
    assert waiting(cluster, Filter(reason="token-expired")) == []


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Filter(), ["1", "2", "3"]),
        (Filter(page_id="102"), ["1", "3"]),
        (Filter(reason="exhausted"), ["3"]),
        (Filter(lead_id="2"), ["2"]),
        (Filter(lead_id="2", page_id="102"), []),
    ],
)
def test_filters(wanted: Filter, expected: list[str]) -> None:
    cluster = Cluster()
    park(cluster, 1)
    park(cluster, 2, page="104")
    park(cluster, 3, reason="exhausted")
    assert waiting(cluster, wanted) == expected


def test_the_record_goes_back_as_it_was_with_a_fate_that_names_its_place() -> None:
    cluster = Cluster()
    lying = park(cluster, 1)
    [sent] = parcels(Stock(cluster, cluster.topics), cluster, cluster, Filter())
    assert sent.record == Record(topic=AGAIN, key=lying.key, value=lying.value, headers=lying.headers)
    assert sent.fate is not None
    told = json.loads(sent.fate.value or b"")
    assert (sent.fate.topic, sent.fate.key) == (FATES, b"fetch/0@1")
    assert (told["fate"], told["partition"], told["offset"]) == ("released", lying.partition, lying.offset)
    assert (told["page_id"], told["lead_id"]) == ("102", "1")


def test_what_went_through_the_whole_ladder_begins_at_its_foot() -> None:
    cluster = Cluster()
    lying = park(cluster, 1, reason="exhausted")
    sent = parcel(Entry(received=lying, page_id="102", lead_id="1"))
    assert header(sent.record.headers, "attempt") is None
    assert header(sent.record.headers, "origin") == "0@1"


def test_a_release_that_was_sent_leaves_nothing_for_a_second_one() -> None:
    cluster = Cluster()
    for lead in range(3):
        park(cluster, lead)
    for sent in list(parcels(Stock(cluster, cluster.topics), cluster, cluster, Filter())):
        assert sent.fate is not None
        cluster.put(sent.fate)
    assert waiting(cluster) == []


def test_what_the_releaser_sends_meanwhile_is_not_sent_twice() -> None:
    """But for as many as are sent between two looks at the fates."""
    cluster = Cluster()
    lying = [park(cluster, lead) for lead in range(250)]
    going = parcels(Stock(cluster, cluster.topics), cluster, cluster, Filter())
    taken = [next(going)]
    for received in lying:
        cluster.put(released(received))
    taken += going
    assert len(taken) == 100


def states(*stand: tuple[str, State]) -> AccessStates:
    known = AccessStates(secret=SecretStr("app secret"), clock=lambda: NOW)
    for key, state in stand:
        known.put(Standing(state=state, key=key, reason="r", until=NOW + 1000, at=NOW - 1000, page_id="102"))
    return known


def test_what_is_broken_or_in_doubt_is_opened_once_and_a_pause_is_left() -> None:
    token = states().key(PAGE, "token")
    known = states((token, "broken"), ("page:102", "doubtful"), ("page:104", "open"), ("app:7", "paused"))
    opened = {now.key: now for _, now in openings(known, [PAGE, SISTER], now=NOW)}
    assert set(opened) == {token, "page:102"}
    assert {each.state for each in opened.values()} == {"open"}
    assert {each.at for each in opened.values()} == {NOW}


def test_what_another_page_is_broken_for_stays() -> None:
    assert openings(states(("page:104", "broken")), [PAGE], now=NOW) == []
