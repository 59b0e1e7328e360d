"""Whatever is killed while leads pass, every acknowledged lead arrives."""

import random
import time

from ingest.records import DETAILS, LEADS
from tests.programs import System, eventually

LEADS_PASSING = 2000


def test_fetch_workers_killed_while_leads_pass_lose_none(system: System) -> None:
    """Two workers, one of them killed every two seconds; nothing waits for what it was doing."""
    system.graph.set_latency(0.05)
    serve = system.start("serve").wait_ready()
    fetchers = [system.start("work", "fetch", FETCH_CONCURRENCY="16") for _ in range(2)]
    mapper = system.start("work", "map")
    for program in (*fetchers, mapper):
        program.wait_ready()

    delivery = system.graph.deliver(system.webhook, LEADS_PASSING, changes_per_post=5, rate=100)
    killed = 0
    while not system.graph.progress(delivery.job).finished:
        time.sleep(2)  # the pace of the killing, waiting for nothing
        victim = random.choice(fetchers)  # noqa: S311  any of them
        killed += victim.kill_child()
    system.graph.wait(delivery.job)

    acknowledged = set(system.graph.acknowledged())
    assert len(acknowledged) == LEADS_PASSING
    assert killed >= 4
    eventually(lambda: acknowledged <= system.keys(LEADS), 120, "every acknowledged lead on leads.v1")
    assert system.keys(LEADS) == acknowledged
    assert all("leadstream_restarts" in program.metrics() for program in fetchers)
    twice = len(system.records(DETAILS)) - LEADS_PASSING
    print(f"\n{killed} workers killed, {LEADS_PASSING} leads, 0 lost, {twice} fetched twice")  # noqa: T201  the figure
    assert serve.stop() == 0


def test_any_program_may_be_killed_while_leads_are_delivered(system: System) -> None:
    """The door, both workers, and then their parents, started again by whoever watches them."""
    programs = {
        arguments: system.start(*arguments).wait_ready()
        for arguments in (("serve",), ("work", "fetch"), ("work", "map"))
    }
    job = system.graph.deliver(system.webhook, 600, changes_per_post=3, rate=40, time_scale=0.05).job
    for program in programs.values():
        time.sleep(1)  # the pace of the killing, waiting for nothing
        assert program.kill_child()
    for arguments, program in programs.items():
        program.kill()
        system.start(*arguments).wait_ready()

    delivery = system.graph.wait(job)
    acknowledged = set(system.graph.acknowledged())
    assert (len(acknowledged), delivery.posts_given_up) == (600, 0)
    eventually(lambda: acknowledged <= system.keys(LEADS), 120, "every acknowledged lead on leads.v1")
    assert system.keys(LEADS) == acknowledged
