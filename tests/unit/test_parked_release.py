"""What waits is listed and sent back once, and a person's word opens what was marked broken and nothing else."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr

from deploy.parked.release import FindsPages, Plan, openings, parcels, plan
from deploy.parked.stock import Filter, Stock
from deploy.sending import Parcel
from ingest.meta.pages import PageAccess
from ingest.records import AGAIN, FATES, PARKED, HeaderName, Received, Record, fate_record, header, headers
from processors.access import AccessStates, Standing, State, access_record
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
        (Filter(since=datetime.fromtimestamp(NOW / 1000 + 2, tz=UTC)), ["2", "3"]),
    ],
)
def test_filters(wanted: Filter, expected: list[str]) -> None:
    cluster = Cluster()
    park(cluster, 1)
    park(cluster, 2, page="104")
    park(cluster, 3, reason="exhausted")
    assert waiting(cluster, wanted) == expected


def sent_by(cluster: Cluster, *, every: int = 100) -> Iterator[Parcel]:
    return parcels(Stock(cluster, cluster.topics), cluster, cluster, Filter(), every=every)


def test_the_record_goes_back_as_it_was_with_a_fate_that_names_its_place() -> None:
    cluster = Cluster()
    lying = park(cluster, 1)
    [sent] = sent_by(cluster)
    assert sent.record == Record(topic=AGAIN, key=lying.key, value=lying.value, headers=lying.headers)
    [fate] = sent.fates
    told = json.loads(fate.value or b"")
    assert (fate.topic, fate.key) == (FATES, b"fetch/0@1")
    assert (told["fate"], told["partition"], told["offset"]) == ("released", lying.partition, lying.offset)
    assert (told["page_id"], told["lead_id"]) == ("102", "1")


def test_what_went_through_the_whole_ladder_begins_at_its_foot() -> None:
    cluster = Cluster()
    park(cluster, 1, reason="exhausted")
    [sent] = sent_by(cluster)
    assert header(sent.record.headers, "attempt") is None
    assert header(sent.record.headers, "origin") == "0@1"


def test_a_release_that_was_sent_leaves_nothing_for_a_second_one() -> None:
    cluster = Cluster()
    for lead in range(3):
        park(cluster, lead)
    for sent in list(sent_by(cluster)):
        [fate] = sent.fates
        cluster.put(fate)
    assert waiting(cluster) == []


def test_what_the_releaser_sends_meanwhile_is_not_sent_twice() -> None:
    """But for as many as are sent between two looks at the fates."""
    cluster = Cluster()
    lying = [park(cluster, lead) for lead in range(250)]
    going = sent_by(cluster)
    taken = [next(going)]
    for received in lying:
        cluster.put(released(received))
    taken += going
    assert len(taken) == 100


def test_what_the_releaser_sent_after_the_plan_is_not_sent_at_all() -> None:
    cluster = Cluster()
    lying = [park(cluster, lead) for lead in range(3)]
    going = sent_by(cluster)
    for received in lying:
        cluster.put(released(received))
    assert list(going) == []


def states(*stand: tuple[str, State]) -> AccessStates:
    known = AccessStates(secret=SecretStr("app secret"), clock=lambda: NOW)
    for key, state in stand:
        known.put(Standing(state=state, key=key, reason="r", until=NOW + 1000, at=NOW - 1000, page_id="102"))
    return known


def test_what_is_broken_or_in_doubt_is_opened_once_and_a_pause_is_left() -> None:
    token = states().key(PAGE, "token")
    known = states((token, "broken"), ("page:102", "doubtful"), ("page:104", "open"), ("app:7", "paused"))
    found = openings(known, [PAGE, SISTER], now=NOW)
    assert {each.was.key: (each.was.state, each.opened.state) for each in found} == {
        token: ("broken", "open"),
        "page:102": ("doubtful", "open"),
    }
    assert [(each.opened.key, each.opened.at) for each in found] == [(each.was.key, NOW) for each in found]


def test_what_another_page_is_broken_for_stays() -> None:
    assert openings(states(("page:104", "broken")), [PAGE], now=NOW) == []


class File:
    """The pages we hold tokens for."""

    def __init__(self, *pages: PageAccess) -> None:
        self._pages: Mapping[str, PageAccess] = {page.page_id: page for page in pages}

    def get(self, page_id: str) -> PageAccess | None:
        return self._pages.get(page_id)


def planned(
    cluster: Cluster,
    *stand: Standing,
    pages: FindsPages | None = None,
    wanted: Filter = Filter(),  # noqa: B008  frozen
) -> Plan:
    for standing in stand:
        cluster.put(access_record(standing))
    stock, pages = Stock(cluster, cluster.topics), pages or File(PAGE, SISTER)
    return plan(stock, cluster, cluster.topics, wanted, states=states(), pages=pages, now=NOW)


def says(key: str, state: State, *, until: int | None = None) -> Standing:
    return Standing(state=state, key=key, reason="over-budget", until=until, at=NOW - 1000, page_id="102")


def test_the_plan_opens_what_meta_access_says_is_broken_of_the_pages_that_are_wanted() -> None:
    cluster = Cluster()
    for lead in range(3):
        park(cluster, lead)
    park(cluster, 3, page="104")
    found = planned(cluster, says("page:102", "broken"), says("page:104", "broken"), wanted=Filter(page_id="102"))
    assert (found.total, found.counts, found.because) == (3, {("102", "token-expired"): 3}, {})
    assert [each.was.key for each in found.openings] == ["page:102"]


def test_a_page_without_a_token_is_refused_and_nothing_of_it_is_opened() -> None:
    cluster = Cluster()
    park(cluster, 1, page="104")
    park(cluster, 2)
    found = planned(cluster, says("page:104", "broken"), pages=File(PAGE))
    assert (found.total, list(found.because), found.openings) == (1, ["104"], [])
    assert "META_PAGES_FILE" in found.because["104"]


def test_a_paused_page_is_refused_with_the_end_of_its_longest_pause_also_where_its_token_is_broken() -> None:
    """A record that was sent now would only go round the ladder."""
    cluster = Cluster()
    park(cluster, 1)
    found = planned(
        cluster,
        says(states().key(PAGE, "token"), "broken"),
        says("page:102", "paused", until=NOW + 60_000),
        says("app:7", "paused", until=NOW + 120_000),
    )
    assert (found.total, found.openings) == (0, [])
    assert "2026-11-24 06:02:00 UTC" in found.because["102"]


def test_a_pause_that_is_over_refuses_nothing() -> None:
    cluster = Cluster()
    park(cluster, 1)
    assert planned(cluster, says("page:102", "paused", until=NOW - 1)).because == {}
