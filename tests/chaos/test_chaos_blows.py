"""Whatever is struck while leads pass, and whoever comes and goes: every acknowledged lead arrives."""

import os
import signal
from contextlib import suppress

import pytest

from tests.chaos.crew import ALL, FETCH, MAP, RETRY, SERVE, Crew
from tests.chaos.experiment import Experiment
from tests.programs import Program, System

LONGER_THAN_A_SESSION = 12.0  # seconds; Kafka gives a silent worker's partitions away after 10


def strike(experiment: Experiment, crew: Crew, program: Program) -> str:
    """One blow to a program: what it was, or nothing where there was no process just then."""
    number = experiment.random.choice((signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP))
    whom = experiment.random.choice(("child", "parent"))
    pid = None
    if whom == "child":
        pid = program.signal_child(number)
        if pid is None:
            return ""
    else:
        program.signal(number)
    if number == signal.SIGSTOP:
        crew.tend_for(experiment.random.choice((1.0, 2.0, LONGER_THAN_A_SESSION)))
        program.signal(signal.SIGCONT)
        if pid is not None:
            with suppress(ProcessLookupError):  # its parent took it for stalled
                os.kill(pid, signal.SIGCONT)
    return f"{number.name} to a {whom}"


def test_programs_struck_at_random(experiment: Experiment, system: System, is_long: bool) -> None:
    """SIGKILL, SIGTERM or SIGSTOP to a child or a parent of any program, while leads are parked or on the ladder."""
    blows, leads_for_each = (100, 30) if is_long else (9, 30)
    system.graph.set_latency(0.1, jitter=0.2)
    dead, silent = experiment.random.sample(system.graph.pages(), 2)
    crew = Crew(system, (*ALL, FETCH, MAP) if is_long else ALL).wait_ready()
    struck: list[str] = []
    while len(struck) < blows:
        experiment.deliver(leads_for_each, changes_per_post=5)
        if len(struck) == blows // 3:
            system.graph.kill_token(dead.page_id)
            system.graph.fault("status", endpoint="lead", page=silent.page_id)
        if len(struck) == 2 * blows // 3:
            system.graph.repair_token(dead.page_id)
            system.graph.lift()
        crew.tend_for(experiment.random.uniform(0.3, 2.0))
        if blow := strike(experiment, crew, experiment.random.choice(crew.programs)):
            struck.append(blow)
    experiment.trouble_is_over()
    crew.wait_ready()
    experiment.count(remark=f"{blows} blows")


@pytest.mark.long
def test_workers_join_and_leave(experiment: Experiment, system: System) -> None:
    """A rebalance every other second, of fetch and of map."""
    system.graph.set_latency(0.1, jitter=0.2)
    Crew(system, (SERVE, FETCH, MAP, RETRY)).wait_ready()
    guests: list[Program] = []
    changes = 0
    for _ in range(30):
        experiment.deliver(40, changes_per_post=4)
        if guests and (len(guests) >= 4 or experiment.random.random() < 0.5):
            guests.pop(experiment.random.randrange(len(guests))).stop()
        else:
            guests.append(system.start(*experiment.random.choice((FETCH, MAP))))
        changes += 1
        Crew(system, ()).tend_for(2.0)
    for guest in guests:
        guest.stop()
    experiment.trouble_is_over()
    experiment.count(remark=f"{changes} joined or left")
