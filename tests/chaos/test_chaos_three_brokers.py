"""One broker of three may be lost without a word; with two lost nothing is promised, and nothing that was is broken."""

import secrets
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from deploy.sandbox import Sandbox
from ingest.records import LEADS, RAW
from tests.chaos.cluster import BROKERS, CONTROLLER, Cluster
from tests.chaos.crew import Crew
from tests.chaos.experiment import SHORTENED, Experiment
from tests.programs import System, eventually

pytestmark = pytest.mark.long


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path / "cluster")
    (tmp_path / "cluster").mkdir()
    try:
        cluster.start(CONTROLLER, *BROKERS)
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def system(sandbox: Sandbox, cluster: Cluster, tmp_path: Path) -> Iterator[System]:
    """On the cluster; the registry and the Graph double are the sandbox's."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    own = {
        "KAFKA_BOOTSTRAP_SERVERS": cluster.bootstrap,
        "TOPIC_PREFIX": f"t{secrets.token_hex(4)}.",
        "INGEST_PORT": port,
    }
    system = System(sandbox.env() | SHORTENED | own, tmp_path)
    system.graph.reset()
    system.apply_topics()
    yield system
    cluster.start(*(broker for broker in BROKERS if cluster.node(broker).pid is None))
    system.stop()


def leader_of_most(system: System) -> int:
    """The broker that leads more partitions of raw than the others."""
    client = AdminClient({"bootstrap.servers": system.env["KAFKA_BOOTSTRAP_SERVERS"]})
    partitions = client.list_topics(system.topics(RAW), timeout=20).topics[system.topics(RAW)].partitions
    leaders = [partition.leader for partition in partitions.values()]
    return max(BROKERS, key=leaders.count)


def test_leader_lost_then_a_second_broker(experiment: Experiment, system: System, cluster: Cluster) -> None:
    crew = Crew(system).wait_ready()
    pids = crew.children()
    first = leader_of_most(system)
    second = next(broker for broker in BROKERS if broker != first)

    experiment.deliver(200, changes_per_post=5, rate=60)
    time.sleep(1.5)  # into the middle of the delivery
    cluster.node(first).kill()
    acknowledged = experiment.wait_until_acknowledged()
    eventually(lambda: acknowledged <= system.keys(LEADS), 120, "leads pass with two of three")

    cluster.node(second).kill()
    time.sleep(6)  # until the last one knows that it is alone
    before = set(system.graph.acknowledged())
    experiment.deliver(200, changes_per_post=5, time_scale=0.05)
    for _ in range(5):
        assert system.graph.send(system.webhook, "leadgen").status == "503"
    assert set(system.graph.acknowledged()) == before, "nothing is promised by one broker"

    cluster.start(second)
    experiment.trouble_is_over()
    experiment.count(remark=f"{len(acknowledged)} passed with two brokers, 0 were taken with one")
    cluster.start(first)
    assert crew.children() == pids
