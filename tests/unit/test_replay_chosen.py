"""Which records a replay by page, form or lead chooses, and what it sends. On topics in memory."""

import asyncio
import json
from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner

from deploy.replay.chosen import Choice, Kind, choose, fetched_again, mapped_again, of_details, of_raw
from deploy.replay.cli import replay
from deploy.sending import Later, send
from ingest.codec import Damaged
from ingest.records import AGAIN, DETAILS, RAW, Received, Record, headers
from schemas.shapes import LeadDetails
from tests.cluster import NOW, Cluster


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def notified(cluster: Cluster, lead: str, *, page: str = "7", form: str = "70") -> Received:
    change = {"field": "leadgen", "value": {"leadgen_id": lead, "page_id": page, "form_id": form}}
    said = headers({"source": "webhook", "delivery": "d"})
    return cluster.put(Record(topic=RAW, key=page.encode(), value=json.dumps(change).encode(), headers=said))


def answered(cluster: Cluster, lead: str, *, page: str = "7", form: str = "70", timestamp: int = NOW) -> Received:
    value = json.dumps({"page_id": page, "form_id": form}).encode()
    said = headers({"origin": "3@4"})
    return cluster.put(Record(topic=DETAILS, key=lead.encode(), value=value, headers=said, timestamp=timestamp))


def decode(frame: bytes) -> LeadDetails:
    """Stands for Avro, of which this choice reads two fields."""
    try:
        details: LeadDetails = json.loads(frame)
    except ValueError:
        raise Damaged("not JSON") from None
    return details


def fetch_again(cluster: Cluster, choice: Choice) -> list[Received]:
    chosen, ends = choose(cluster, cluster.topics(RAW), of_raw(choice), since={})
    picked = list(chosen.pick(cluster.read(cluster.topics(RAW), until=ends)))
    assert len(picked) == len(chosen)
    asyncio.run(send(cluster, map(fetched_again, picked), rate=1_000_000))
    return cluster.on(AGAIN)


def map_again(cluster: Cluster, choice: Choice) -> list[Received]:
    """What came to details by it."""
    chosen, ends = choose(cluster, cluster.topics(DETAILS), of_details(choice, decode), since={})
    picked = chosen.pick(cluster.read(cluster.topics(DETAILS), until=ends))
    later = Later(cluster, cluster.topics, ends)
    asyncio.run(send(cluster, map(mapped_again, picked), rate=1_000_000, later=later))
    return list(cluster.read(cluster.topics(DETAILS), since=ends))


@pytest.mark.parametrize(
    ("kind", "id_", "leads"),
    [("page", "7", ["1", "2"]), ("form", "71", ["2"]), ("lead", "3", ["3"]), ("lead", "9", [])],
)
def test_the_notifications_of_a_page_a_form_or_a_lead_are_chosen(
    cluster: Cluster, kind: Kind, id_: str, leads: list[str]
) -> None:
    notified(cluster, "1")
    notified(cluster, "2", form="71")
    notified(cluster, "3", page="8", form="80")
    values = [json.loads(record.value or b"") for record in fetch_again(cluster, Choice(kind=kind, id=id_))]
    assert sorted(value["value"]["leadgen_id"] for value in values) == leads


def test_a_notification_goes_back_as_it_is_and_names_its_place_on_raw(cluster: Cluster) -> None:
    notified(cluster, "1")
    lies = notified(cluster, "2")
    [back] = fetch_again(cluster, Choice(kind="lead", id="2"))
    assert (back.key, back.value) == (lies.key, lies.value)
    assert back.headers == (*lies.headers, ("origin", lies.origin.encode()))


def test_a_lead_that_was_announced_twice_is_fetched_once(cluster: Cluster) -> None:
    notified(cluster, "1")
    second = notified(cluster, "1")
    [back] = fetch_again(cluster, Choice(kind="page", id="7"))
    assert back.origin == second.origin


def test_a_time_is_from_then_on_and_before_then(cluster: Cluster) -> None:
    first, second, third = (notified(cluster, lead) for lead in "123")
    times = {
        "since": datetime.fromtimestamp(second.timestamp / 1000, tz=UTC),
        "until": datetime.fromtimestamp(third.timestamp / 1000, tz=UTC),
    }
    assert first.timestamp < second.timestamp < third.timestamp
    [back] = fetch_again(cluster, Choice(kind="page", id="7", **times))
    assert back.origin == second.origin


def test_a_notification_that_cannot_be_read_belongs_to_nobody_and_is_counted(cluster: Cluster) -> None:
    cluster.put(Record(topic=RAW, key=b"7", value=b"not json"))
    notified(cluster, "1")
    chosen, _ = choose(cluster, cluster.topics(RAW), of_raw(Choice(kind="page", id="7")), since={})
    assert (len(chosen), chosen.unreadable) == (1, 1)


@pytest.mark.parametrize(("kind", "id_", "leads"), [("page", "7", "12"), ("form", "71", "2"), ("lead", "3", "3")])
def test_the_answers_of_a_page_a_form_or_a_lead_are_chosen(cluster: Cluster, kind: Kind, id_: str, leads: str) -> None:
    answered(cluster, "1")
    answered(cluster, "2", form="71")
    answered(cluster, "3", page="8", form="80")
    back = map_again(cluster, Choice(kind=kind, id=id_))
    assert sorted((record.key or b"").decode() for record in back) == list(leads)


def test_an_answer_goes_back_as_it_was_with_the_time_it_had(cluster: Cluster) -> None:
    """A new timestamp would keep a person's answers for another 90 days."""
    lies = answered(cluster, "1", timestamp=NOW - 50 * 86_400_000)
    [back] = map_again(cluster, Choice(kind="lead", id="1"))
    assert (back.key, back.value, back.headers, back.timestamp) == (lies.key, lies.value, lies.headers, lies.timestamp)


def test_of_several_answers_only_the_newest_goes_back(cluster: Cluster) -> None:
    answered(cluster, "1", timestamp=NOW)
    answered(cluster, "1", timestamp=NOW + 5)
    [back] = map_again(cluster, Choice(kind="page", id="7"))
    assert back.timestamp == NOW + 5


def test_an_erased_lead_is_not_chosen(cluster: Cluster) -> None:
    answered(cluster, "1")
    cluster.put(Record(topic=DETAILS, key=b"1", value=None))
    for choice in (Choice(kind="lead", id="1"), Choice(kind="page", id="7")):
        assert map_again(cluster, choice) == []


def test_an_answer_is_not_chosen_when_a_newer_one_is_of_another_form_or_time_or_cannot_be_read(
    cluster: Cluster,
) -> None:
    """Sent again, it would replace the newer one."""
    answered(cluster, "1")
    answered(cluster, "1", form="99")
    answered(cluster, "2")
    cluster.put(Record(topic=DETAILS, key=b"2", value=b"\0", timestamp=NOW))
    answered(cluster, "3")
    answered(cluster, "3", timestamp=NOW + 5000)
    until = datetime.fromtimestamp(NOW / 1000 + 1, tz=UTC)
    assert map_again(cluster, Choice(kind="form", id="70", until=until)) == []


def test_an_answer_that_comes_meanwhile_is_not_replaced(cluster: Cluster) -> None:
    answered(cluster, "1")
    topic = cluster.topics(DETAILS)
    chosen, ends = choose(cluster, topic, of_details(Choice(kind="lead", id="1"), decode), since={})
    answered(cluster, "1", form="new")
    picked = chosen.pick(cluster.read(topic, until=ends))
    asyncio.run(send(cluster, map(mapped_again, picked), rate=100, later=Later(cluster, cluster.topics, ends)))
    assert len(cluster.on(DETAILS)) == 2


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--to=earliest", "--page=7"],
        ["--page=7", "--form=70"],
        ["--since=2026-11-24"],
        ["--to=earliest", "--since=2026-11-24"],
        ["--page=7", "--since=yesterday"],
        ["--page=7", "--rate=0"],
    ],
)
@pytest.mark.parametrize("worker", ["fetch", "map"])
def test_anything_but_one_choice_is_used_wrongly(worker: str, options: list[str]) -> None:
    assert CliRunner().invoke(replay, [worker, *options]).exit_code == 2
