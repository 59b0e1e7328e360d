"""The broker dies, hangs, has no space left: the door says 503 meanwhile, and what it said 200 to arrives."""

import resource
import time

import pytest

from deploy.sandbox import Sandbox
from tests.chaos.crew import Crew
from tests.chaos.experiment import Experiment
from tests.programs import System, eventually

LONGER_THAN_A_SESSION = 15.0  # seconds; the group gives a worker up after 10


def is_refused(system: System) -> bool:
    """Whether the door says 503 to a lead. It is a new one each time, and never repeated."""
    return system.graph.send(system.webhook, "leadgen").status == "503"


@pytest.mark.long
def test_broker_killed_and_restarted(experiment: Experiment, system: System, sandbox: Sandbox) -> None:
    crew = Crew(system).wait_ready()
    pids = crew.children()
    for _ in range(3):
        experiment.deliver(200, changes_per_post=5, rate=60)
        time.sleep(2)  # into the middle of the delivery
        sandbox.part("kafka").kill()
        assert is_refused(system)
        sandbox.up()
        experiment.trouble_is_over()
        experiment.wait_until_acknowledged()
    experiment.count(remark="3 times")
    assert crew.children() == pids


def test_broker_paused_for_longer_than_a_session(experiment: Experiment, system: System, sandbox: Sandbox) -> None:
    """Its connections stay open and nobody answers; then it finds that no worker has been heard of for too long."""
    crew = Crew(system).wait_ready()
    pids = crew.children()
    system.graph.set_latency(0.2)
    experiment.deliver(200, changes_per_post=5, rate=60)
    time.sleep(2)  # into the middle of the delivery
    sandbox.part("kafka").pause()
    assert is_refused(system)
    time.sleep(LONGER_THAN_A_SESSION)  # the length of the pause is the matter
    sandbox.part("kafka").resume()
    experiment.trouble_is_over()
    experiment.count()
    assert crew.children() == pids


@pytest.mark.long
@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="a process's limits are set from outside on Linux only")
def test_disk_full(experiment: Experiment, system: System, sandbox: Sandbox) -> None:
    """From one moment on no file of the broker may grow: it takes its log offline, and is started again with space."""
    crew = Crew(system).wait_ready()
    experiment.deliver(100, changes_per_post=5)
    experiment.wait_until_acknowledged()
    broker = sandbox.part("kafka").pid
    assert broker is not None
    resource.prlimit(broker, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
    experiment.deliver(200, changes_per_post=5, rate=60)
    eventually(lambda: is_refused(system), 30, "the door refuses")
    eventually(lambda: sandbox.part("kafka").pid is None, 60, "the broker ends without a log to write to")
    time.sleep(2)  # some more repeats by Meta, waiting for nothing
    assert is_refused(system)
    sandbox.up()
    experiment.trouble_is_over()
    experiment.count()
    crew.tend()
