"""Moving a group on a real broker: where it was told to, and never under a worker that runs."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, Producer, TopicPartition

# Public, but brought into the module without saying so.
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from deploy.account import take_account
from deploy.replay import Move, ReplayRefused, apply, plan
from ingest.meta.notification import Notification
from ingest.records import DEAD, DETAILS, LEADS, PARKED, RAW
from tests.commands import Commands
from tests.programs import System, eventually

LEADSTREAM = Path(sys.executable).with_name("leadstream")
EPOCH = 1_795_500_000_000  # unix milliseconds


class Group:
    """A group, and a topic of two partitions with five records each, a minute apart."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        # They outlive the sandbox, and would say so.
        self.options: dict[str, str | int | float | bool] = {"bootstrap.servers": bootstrap, "log_level": 0}
        self.cluster = AdminClient(self.options)
        self.name = f"{prefix}leadstream-map"
        self.topic = f"{prefix}meta.leadgen.details"
        [made] = self.cluster.create_topics([NewTopic(self.topic, 2)]).values()
        made.result(15)
        producer = Producer(self.options)
        for minute in range(5):
            for partition in range(2):
                producer.produce(self.topic, b"{}", partition=partition, timestamp=EPOCH + minute * 60_000)
        assert producer.flush(15) == 0

    def stand(self, *offsets: int) -> None:
        places = [TopicPartition(self.topic, number, offset) for number, offset in enumerate(offsets)]
        [done] = self.cluster.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(self.name, places)]).values()
        done.result(15)

    def stands(self) -> list[int]:
        places = [TopicPartition(self.topic, number) for number in range(2)]
        asked = self.cluster.list_consumer_group_offsets([ConsumerGroupTopicPartitions(self.name, places)])
        return [place.offset for place in asked[self.name].result(15).topic_partitions]

    @contextmanager
    def live(self) -> Iterator[None]:
        """A member reads while the context is open."""
        consumer = Consumer(self.options | {"group.id": self.name, "enable.auto.commit": False})
        consumer.subscribe([self.topic])
        try:
            deadline = time.monotonic() + 60
            while not consumer.assignment():
                assert time.monotonic() < deadline, "the member was given no partitions"
                consumer.poll(0.1)
            yield
        finally:
            consumer.close()


@pytest.fixture
def group(bootstrap: str, topic_prefix: str) -> Group:
    return Group(bootstrap, topic_prefix)


def moves(group: Group, to: object) -> list[tuple[int | None, int]]:
    planned = plan(group.cluster, group.name, [group.topic], to)  # type: ignore[arg-type]  # three kinds, from a table
    return [(move.before, move.after) for move in planned.moves]


def test_a_group_moves_to_the_first_record(group: Group) -> None:
    group.stand(5, 3)
    planned = plan(group.cluster, group.name, [group.topic], "earliest")
    assert planned.moves == (
        Move(topic=group.topic, partition=0, before=5, after=0, end=5),
        Move(topic=group.topic, partition=1, before=3, after=0, end=5),
    )
    assert group.stands() == [5, 3]
    apply(group.cluster, planned)
    assert group.stands() == [0, 0]


@pytest.mark.parametrize(
    ("to", "after"),
    [
        (datetime.fromtimestamp(EPOCH / 1000, tz=UTC), 0),
        (datetime.fromtimestamp(EPOCH / 1000 + 61, tz=UTC), 2),
        (datetime.fromtimestamp(EPOCH / 1000 + 3600, tz=UTC), 5),
        (4, 4),
        (1000, 5),
    ],
)
def test_a_time_is_its_first_record_and_what_lies_beyond_is_the_end(group: Group, to: object, after: int) -> None:
    group.stand(5, 5)
    assert moves(group, to) == [(5, after), (5, after)]


def test_a_group_that_never_read_is_moved_too(group: Group) -> None:
    assert moves(group, 2) == [(None, 2), (None, 2)]
    apply(group.cluster, plan(group.cluster, group.name, [group.topic], 2))
    assert group.stands() == [2, 2]


def test_an_offset_that_expired_is_the_first_record_there_is(group: Group) -> None:
    [deleted] = group.cluster.delete_records([TopicPartition(group.topic, 0, 2)]).values()
    deleted.result(15)
    assert moves(group, 0) == [(None, 2), (None, 0)]


def test_a_live_group_is_refused_and_stands_where_it_stood(group: Group) -> None:
    group.stand(5, 5)
    planned = plan(group.cluster, group.name, [group.topic], "earliest")
    with group.live():
        assert plan(group.cluster, group.name, [group.topic], "earliest").members == ("127.0.0.1",)
        with pytest.raises(ReplayRefused, match="Stop every `leadstream work map`"):
            apply(group.cluster, planned)
        assert group.stands() == [5, 5]
    apply(group.cluster, planned)
    assert group.stands() == [0, 0]


class LateToSee(AdminClient):
    """Sees no member yet, as one who looked a moment too early."""

    # `Any` and the override: so is the library's own signature.
    def describe_consumer_groups(self, group_ids: list[str], **_: Any) -> dict[str, "Future[Any]"]:  # type: ignore[override]
        return super().describe_consumer_groups(["a group that nobody has"])


def test_a_worker_that_starts_in_between_is_seen_in_the_partitions_own_answers(group: Group) -> None:
    """The broker refuses each partition, and the call as a whole succeeds all the same."""
    group.stand(5, 5)
    planned = plan(group.cluster, group.name, [group.topic], "earliest")
    with group.live(), pytest.raises(ReplayRefused, match="2 of 2 partitions were not moved"):
        apply(LateToSee(group.options), planned)
    assert group.stands() == [5, 5]


def test_a_topic_that_is_not_there_is_a_sentence(group: Group) -> None:
    with pytest.raises(ReplayRefused, match="topics apply"):
        plan(group.cluster, group.name, [f"{group.topic}.of-nobody"], "earliest")


def test_the_command_shows_first_moves_when_told_and_refuses_under_a_worker(group: Group, topic_prefix: str) -> None:
    def leadstream(*arguments: str) -> subprocess.CompletedProcess[str]:
        settings = {"KAFKA_BOOTSTRAP_SERVERS": str(group.options["bootstrap.servers"]), "TOPIC_PREFIX": topic_prefix}
        return subprocess.run(
            [LEADSTREAM, "replay", "map", "--to", "earliest", *arguments],
            env=os.environ | settings,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    group.stand(5, 5)
    shown = leadstream("--json")
    assert (shown.returncode, group.stands()) == (0, [5, 5])
    assert [move["records"] for move in json.loads(shown.stdout)["moves"]] == [5, 5]
    with group.live():
        refused = leadstream("--yes")
    assert (refused.returncode, group.stands()) == (1, [5, 5])
    assert "Stop every `leadstream work map`" in refused.stderr
    eventually(lambda: leadstream("--yes").returncode == 0, 60, "the replay")
    assert group.stands() == [0, 0]


def test_a_replay_that_waits_ends_when_its_worker_has_read_all_and_tells_what_became_dead(
    system: System, tmp_path: Path
) -> None:
    """It says so while no worker runs; and the group stands at the end."""
    leadstream = Commands(system, tmp_path)
    system.start("serve").wait_ready()
    system.start("work", "fetch").wait_ready()
    system.graph.wait(system.graph.deliver(system.webhook, 300, changes_per_post=5).job)
    leads = set(system.graph.acknowledged())
    eventually(lambda: leads <= system.keys(DETAILS), 60, "the details")
    broken = Producer({"bootstrap.servers": system.env["KAFKA_BOOTSTRAP_SERVERS"], "log_level": 0})
    broken.produce(system.topics(DETAILS), b"no frame", b"4711")
    assert broken.flush(15) == 0
    calls = system.graph.calls().total

    replay = system.start("replay", "map", "--to", "earliest", "--yes", "--wait")
    eventually(lambda: "No worker of" in replay.log.read_text(), 60, "that no worker runs")
    assert not replay.has_ended
    system.start("work", "map").wait_ready()
    assert replay.ended() == 0
    said = replay.log.read_text()
    assert re.search(r"Read: at most 301 records in [0-9.]+ s, \d+ a second\.", said)
    assert "  1 became dead: not-framed" in said
    assert system.keys(LEADS) == leads
    [lag] = [lag for group, lag in take_account(system.kafka, tmp_path / "books").lags.items() if group == "map"]
    assert (lag.records, system.graph.calls().total) == (0, calls)
    assert leadstream("replay", "fetch", "--page", "1", "--wait").returncode == 2


def test_whoever_stops_waiting_stops_nothing_else(system: System) -> None:
    put = Producer({"bootstrap.servers": system.env["KAFKA_BOOTSTRAP_SERVERS"], "log_level": 0})
    put.produce(system.topics(DETAILS), b"no frame", b"4711")
    assert put.flush(15) == 0
    replay = system.start("replay", "map", "--to", "earliest", "--yes", "--wait")
    eventually(lambda: "Waiting" in replay.log.read_text(), 60, "that it waits")
    replay.signal(signal.SIGINT)
    assert replay.ended() == 0
    assert "You stopped waiting at 0 of 1" in replay.log.read_text()
    system.start("work", "map").wait_ready()
    eventually(lambda: len(system.records(DEAD)) == 1, 60, "what was moved is read")


def test_fetch_replayed_from_the_first_record_asks_for_each_lead_once(system: System, tmp_path: Path) -> None:
    """Also for those that were parked and came back, and for those that Meta announced twice."""
    leadstream = Commands(system, tmp_path)
    fetch, *_ = [
        system.start(*command, RETRY_DELAYS="1,2,3", ACCESS_CHECK="1").wait_ready()
        for command in (("work", "fetch"), ("work", "retry"), ("serve",))
    ]
    [page, *_] = system.graph.pages()
    system.graph.kill_token(page.page_id)
    system.graph.wait(system.graph.deliver(system.webhook, 60, changes_per_post=5, duplicates=0.2).job)

    def parked() -> set[str]:
        return {Notification.read(record.value or b"").lead_id for record in system.records(PARKED)}

    leads = set(system.graph.acknowledged())
    eventually(lambda: parked() | system.keys(DETAILS) == leads, 60, "every lead fetched, or parked")
    system.graph.repair_token(page.page_id)
    eventually(lambda: len(system.keys(DETAILS)) == 60, 60, "every lead is fetched")
    assert len(parked()) > 5

    assert fetch.stop() == 0
    system.graph.forget_calls()
    before = len(system.records(DETAILS))
    planned = leadstream.asked("replay", "fetch", "--to", "earliest")
    assert sum(move["records"] for move in planned["moves"]) == len(system.records(RAW))
    assert leadstream("replay", "fetch", "--to", "earliest", "--yes").returncode == 0
    system.start("work", "fetch").wait_ready()
    eventually(lambda: len(system.records(DETAILS)) >= before + 60, 60, "every lead is fetched again")
    assert system.graph.lead_calls() == dict.fromkeys(leads, 1)
    assert len(system.records(DETAILS)) == before + 60
