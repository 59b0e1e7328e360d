"""A sandbox of the experiments' own, for they break it; the long form where `CHAOS=long` asks for it; the table."""

import os
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.sandbox import FREE_PORTS, Sandbox
from tests.chaos.experiment import SHORTENED, Experiment
from tests.chaos.results import Result, as_markdown, as_text
from tests.programs import System

LONG = os.environ.get("CHAOS") == "long"
WRITE = os.environ.get("CHAOS_RESULTS") == "write"
SEED = int(os.environ.get("CHAOS_SEED") or secrets.randbelow(10**6))

_RESULTS = pytest.StashKey[list[Result]]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "long: an experiment of the long form only (CHAOS=long)")
    config.stash[_RESULTS] = []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if LONG:
        return
    left_out = [item for item in items if item.get_closest_marker("long")]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    results = config.stash[_RESULTS]
    if not results:
        return
    terminalreporter.section(f"chaos, CHAOS_SEED={SEED}")
    for line in as_text(results):
        terminalreporter.write_line(line)
    if WRITE:
        Path(__file__).with_name("RESULTS.md").write_text(as_markdown(results, seed=SEED), encoding="utf-8")


@pytest.fixture(scope="session")
def is_long() -> bool:
    """Whether this is the long form."""
    return LONG


@pytest.fixture(scope="session")
def _broken_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    world = Sandbox(tmp_path_factory.mktemp("chaos"), FREE_PORTS)
    try:
        yield world
    finally:
        for name in ("kafka", "registry", "graph"):
            world.part(name).resume()
        world.down()


@pytest.fixture
def sandbox(_broken_sandbox: Sandbox) -> Sandbox:
    """Kafka, the registry and the Graph double, whole again whatever the experiment before has done to them."""
    _broken_sandbox.up()
    return _broken_sandbox


@pytest.fixture
def system(sandbox: Sandbox, tmp_path: Path) -> Iterator[System]:
    """leadstream's topics under a prefix of their own, its programs as the test starts them; a new world at Meta."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    env = sandbox.env() | SHORTENED | {"TOPIC_PREFIX": f"t{secrets.token_hex(4)}.", "INGEST_PORT": port}
    system = System(env, tmp_path)
    system.graph.reset()
    system.apply_topics()
    yield system
    sandbox.up()  # a program told to stop waits for a broker that is away
    system.stop()


@pytest.fixture
def experiment(system: System, request: pytest.FixtureRequest) -> Experiment:
    """The experiment that the test's name says."""
    name = request.node.name.removeprefix("test_").replace("_", " ")
    return Experiment(name, system, seed=SEED, results=request.config.stash[_RESULTS])
