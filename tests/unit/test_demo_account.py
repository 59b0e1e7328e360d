"""The demo's account: what the topics tell of each delivery."""

import json
from collections.abc import Iterator, Mapping

from deploy.demo.account import Account, Outcome
from deploy.demo.deliveries import ten
from deploy.demo.sales import TOPIC
from ingest.records import DEAD, FATES, LEADS, OTHER, RAW, Headers, Received, Topics, headers


class Cluster:
    """Topics of one partition."""

    def __init__(self) -> None:
        self._topics: dict[str, list[Received]] = {}

    def put(self, topic: str, said: Headers, key: str = "1", value: bytes = b"{}") -> None:
        log = self._topics.setdefault(f"demo.{topic}", [])
        log.append(
            Received(
                topic=f"demo.{topic}",
                partition=0,
                offset=len(log),
                key=key.encode(),
                value=value,
                headers=said,
                timestamp=0,
            )
        )

    def read(self, topic: str, since: Mapping[int, int]) -> Iterator[Received]:
        yield from self._topics.get(topic, [])[since.get(0, 0) :]


def account(cluster: Cluster) -> Account:
    return Account(cluster, Topics(prefix="demo."))


def fate(cluster: Cluster, stage: str, origin: str, fate: str, reason: str) -> None:
    cluster.put(FATES, (), key=f"{stage}/{origin}", value=json.dumps({"fate": fate, "reason": reason}).encode())


def test_the_records_of_a_delivery_are_told_by_their_header() -> None:
    cluster = Cluster()
    ours = account(cluster)
    cluster.put(RAW, headers({"delivery": "a"}))
    cluster.put(RAW, headers({"delivery": "a"}))
    cluster.put(OTHER, headers({"delivery": "a"}))
    assert ours.take_door() == ["a"]
    cluster.put(RAW, headers({"delivery": "b"}))
    assert ours.take_door() == ["b"]
    assert ours.take_door() == []
    assert ours.topics_of("a") == {RAW: 2, OTHER: 1}
    assert ours.topics_of(None) == {}


def test_a_notification_waits_until_its_lead_is_there_or_a_fate_tells_why_not() -> None:
    cluster = Cluster()
    ours = account(cluster)
    for _ in range(5):
        cluster.put(RAW, headers({"delivery": "a"}))
    ours.take_door()
    assert ours.waiting() == 5
    cluster.put(LEADS, headers({"origin": "0@0"}), key="55459717045641545")
    fate(cluster, "fetch", "0@1", "dead", "not-found")
    fate(cluster, "fetch", "0@2", "duplicate", "seen")
    fate(cluster, "map", "0@3", "dead", "not-json")
    ours.take_outcomes()
    assert ours.waiting() == 1
    assert ours.outcomes("a") == {
        Outcome(kind="lead"): 1,
        Outcome(kind="dead", reason="not-found"): 1,
        Outcome(kind="duplicate", reason="seen"): 1,
        Outcome(kind="dead", reason="not-json"): 1,
        Outcome(kind="waiting"): 1,
    }
    assert ours.leads.keys() == {"55459717045641545"}


def test_only_the_doors_own_dead_letters_are_part_of_a_delivery() -> None:
    """The one that fetch writes is a copy of a raw record, which is counted already."""
    cluster = Cluster()
    ours = account(cluster)
    cluster.put(DEAD, headers({"delivery": "a", "stage": "ingest", "fate-reason": "change-not-an-object"}))
    cluster.put(DEAD, headers({"delivery": "b", "stage": "fetch", "fate-reason": "not-found"}))
    assert ours.take_door() == ["a"]
    assert ours.outcomes("a") == {Outcome(kind="dead", reason="change-not-an-object"): 1}


def test_a_lead_that_comes_again_is_counted_and_replaces_the_one_before() -> None:
    cluster = Cluster()
    ours = account(cluster)
    cluster.put(LEADS, headers({"origin": "0@0"}), key="7", value=b"old")
    cluster.put(LEADS, headers({"origin": "0@0"}), key="7", value=b"new")
    ours.take_outcomes()
    assert ours.produced == 2
    assert ours.leads["7"].value == b"new"


def test_a_record_for_the_crm_is_no_lead_and_a_target_that_failed_is_no_end_of_a_notification() -> None:
    cluster = Cluster()
    ours = account(cluster)
    cluster.put(RAW, headers({"delivery": "a"}))
    ours.take_door()
    cluster.put(TOPIC, headers({"origin": "0@0"}), key="7", value=b"row")
    fate(cluster, "map", "0@0/other.v1", "dead", "required")
    ours.take_outcomes()
    assert (ours.rows["7"].value, ours.rows_produced) == (b"row", 1)
    assert (ours.leads, ours.waiting()) == ({}, 1)


def test_there_are_ten_deliveries_and_all_that_can_become_of_a_change_is_among_them() -> None:
    templates = ("test_drive", "newsletter", "solar", "b2b", "homes_india", "insurance_brazil", "loans_latam")
    deliveries = ten(dict.fromkeys(templates, "a form's id"))
    assert len(deliveries) == 10
    assert {kind for delivery in deliveries for kind in delivery.expected} == {
        "lead",
        "duplicate",
        "skipped",
        "dead",
        "kept",
    }
    assert {delivery.status for delivery in deliveries if not delivery.expected} == {"401"}


def test_what_was_released_is_what_fetch_said_of_it_though_the_release_is_told_later() -> None:
    cluster = Cluster()
    ours = account(cluster)
    cluster.put(RAW, headers({"delivery": "a"}))
    ours.take_door()
    fate(cluster, "fetch", "0@0", "parked", "not-found")
    fate(cluster, "fetch", "0@0", "dead", "not-found")
    fate(cluster, "fetch", "0@0", "released", "not-found")
    ours.take_outcomes()
    assert ours.outcomes("a") == {Outcome(kind="dead", reason="not-found"): 1}
