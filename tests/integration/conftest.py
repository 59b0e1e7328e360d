"""One sandbox for the whole run, started for the first test that asks; a test keeps to itself by a `TOPIC_PREFIX`."""

import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.sandbox import FREE_PORTS, Sandbox
from tests.programs import System


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Kafka, the registry and the Graph double, at ports of their own; they end with the run."""
    home: Path = tmp_path_factory.mktemp("sandbox")
    world = Sandbox(home, FREE_PORTS)
    try:
        world.up()
        yield world
    finally:
        world.down()


@pytest.fixture
def bootstrap(sandbox: Sandbox) -> str:
    """`KAFKA_BOOTSTRAP_SERVERS` of the sandbox."""
    return sandbox.env()["KAFKA_BOOTSTRAP_SERVERS"]


@pytest.fixture
def registry_url(sandbox: Sandbox) -> str:
    """`REGISTRY_URL` of the sandbox."""
    return sandbox.env()["REGISTRY_URL"]


@pytest.fixture
def topic_prefix() -> str:
    """A `TOPIC_PREFIX` that no other test has."""
    return f"t{secrets.token_hex(4)}."


@pytest.fixture
def system(sandbox: Sandbox, topic_prefix: str, tmp_path: Path) -> Iterator[System]:
    """leadstream's topics, and its programs as the test starts them; the double begins its world again."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    system = System(sandbox.env() | {"TOPIC_PREFIX": topic_prefix, "INGEST_PORT": port}, tmp_path)
    system.graph.reset()
    system.apply_topics()
    yield system
    system.stop()
