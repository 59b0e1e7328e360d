"""The sandbox's Kafka, by its own clients."""

from confluent_kafka.admin import AdminClient

from deploy.sandbox import Sandbox


def test_kafka_tells_its_one_broker_at_the_address_that_env_names(sandbox: Sandbox, bootstrap: str) -> None:
    brokers = AdminClient({"bootstrap.servers": bootstrap}).list_topics(timeout=10).brokers
    assert [f"{broker.host}:{broker.port}" for broker in brokers.values()] == [bootstrap]
