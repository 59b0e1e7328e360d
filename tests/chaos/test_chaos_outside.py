"""The registry is away, Meta is unwell in every way it can be: leads wait for as long as it takes, and none is lost."""

import time
from collections import Counter
from functools import partial

import pytest

from deploy.sandbox import Sandbox
from deploy.sandbox.graph.shapes import FaultKind
from ingest.records import AGAIN, DEAD, LEADS, PARKED, RETRY, Received
from tests.chaos.crew import FETCH, MAP, Crew
from tests.chaos.experiment import Experiment
from tests.programs import System, eventually


@pytest.mark.long
def test_registry_down(experiment: Experiment, system: System, sandbox: Sandbox) -> None:
    """Who runs goes on without it; who starts meanwhile works as soon as it is back."""
    crew = Crew(system).wait_ready()
    pids = crew.children()
    sandbox.down(only=["registry"])
    experiment.deliver(100, changes_per_post=5)
    acknowledged = experiment.wait_until_acknowledged()
    eventually(lambda: acknowledged <= system.keys(LEADS), 60, "leads pass without the registry")
    late = Crew(system, (FETCH, MAP))
    time.sleep(5)  # they find nobody, waiting for nothing
    experiment.deliver(100, changes_per_post=5)
    sandbox.up()
    experiment.trouble_is_over()
    late.wait_ready()
    experiment.count()
    assert crew.children() == pids


def test_everything_at_once_goes_wrong_at_meta(experiment: Experiment, system: System, is_long: bool) -> None:
    """Slow, 5xx, HTML, nothing, half an answer, hanging up, null items of batches, and a dead token."""
    crew = Crew(system).wait_ready()
    pids = crew.children()
    graph = system.graph
    [page, *_] = graph.pages()
    graph.set_latency(0.1, jitter=0.4)
    for kind in ("status", "html", "empty", "unavailable", "truncated", "short", "reset", "null"):
        graph.fault(kind, endpoint="lead", share=0.1)
    graph.fault("error", endpoint="lead", share=0.1, code=2)
    graph.fault("error", endpoint="form", share=0.3, code=1)
    graph.fault("status", endpoint="batch", share=0.2)
    graph.kill_token(page.page_id)
    experiment.deliver(2000 if is_long else 200, changes_per_post=5, rate=100 if is_long else 40)
    experiment.wait_until_acknowledged()
    time.sleep(5)  # how long it lasts
    met = graph.lift()
    graph.repair_token(page.page_id)
    experiment.trouble_is_over()
    experiment.count(remark=f"{met} calls spoilt; {aside(system)}")
    assert len(system.records(DEAD)) == 0
    assert crew.children() == pids


@pytest.mark.long
@pytest.mark.parametrize("kind", ["status", "html", "empty", "unavailable", "truncated", "short", "reset", "hang"])
def test_meta_answers_nobody(experiment: Experiment, system: System, kind: FaultKind) -> None:
    """Of every page, for twenty seconds."""
    Crew(system).wait_ready()
    system.graph.fault(kind)
    experiment.deliver(100, changes_per_post=5)
    time.sleep(20)  # how long it lasts
    met = system.graph.lift()
    experiment.trouble_is_over()
    experiment.count(remark=f"{met} calls; {aside(system)}")
    assert len(system.records(DEAD)) == 0


@pytest.mark.long
def test_token_dead_then_repaired(experiment: Experiment, system: System) -> None:
    """All leads of the page are parked after a few calls, and go on in their order when the token lives again."""
    leads = 5000
    [serve, fetch, *_] = Crew(system).wait_ready().programs
    del serve
    [page, *_] = system.graph.pages()
    system.graph.kill_token(page.page_id)
    experiment.deliver(leads, page=page.page_id, changes_per_post=5, rate=400)
    experiment.wait_until_acknowledged()
    eventually(lambda: len(system.records(PARKED)) == leads, 120, "all parked")
    refused = system.graph.calls(page=page.page_id, endpoint="lead")
    system.graph.repair_token(page.page_id)
    experiment.trouble_is_over()
    experiment.count(remark=f"{refused.total} calls with the dead token; {aside(system)}")
    assert refused.total <= 10
    assert fetch.log.read_text().count('"access.broken"') == 1, "one alert"
    assert [record.value for record in ordered(system, AGAIN)] == [record.value for record in ordered(system, PARKED)]
    assert len(system.records(DEAD)) == 0


@pytest.mark.long
def test_one_page_throttled(experiment: Experiment, system: System) -> None:
    """Two minutes by Meta's own estimate: no call before they are over, and the other pages are as fast as ever."""
    Crew(system).wait_ready()
    [page, *others] = system.graph.pages()
    undisturbed = slowest(system, experiment, [other.page_id for other in others])
    system.graph.throttle(page.page_id, seconds=120)
    until = time.time() + 120
    experiment.deliver(200, page=page.page_id, changes_per_post=5)
    eventually(lambda: system.graph.calls(page=page.page_id, since=until - 120).total > 0, 30, "it is told")
    time.sleep(2)  # what was under way with the first
    told = time.time()
    beside = slowest(system, experiment, [other.page_id for other in others])
    time.sleep(max(0.0, until - time.time()))  # two minutes for real
    early = system.graph.calls(page=page.page_id, since=told, until=until).total
    experiment.trouble_is_over()
    experiment.count(
        remark=f"slowest of others {undisturbed:.1f} s before, {beside:.1f} s beside; {early} calls too early"
    )
    assert early == 0
    assert beside < undisturbed + 1.0


def slowest(system: System, experiment: Experiment, pages: list[str]) -> float:
    """Seconds of the slowest of 20 rounds, in each of which five leads of each page arrive."""
    sent: list[float] = []
    for _ in range(20):
        wanted = len(system.keys(LEADS)) + 5 * len(pages)
        began = time.monotonic()
        for page in pages:
            experiment.deliver(5, page=page)
        eventually(partial(has_arrived, system, wanted), 60, "they arrive")
        sent.append(time.monotonic() - began)
    return max(sent)


def has_arrived(system: System, leads: int) -> bool:
    return len(system.keys(LEADS)) >= leads


def aside(system: System) -> str:
    """How many records waited, and where."""
    waited = Counter({name: len(system.records(name)) for name in (*RETRY, PARKED)})
    return f"{sum(waited[name] for name in RETRY)} waited on the ladder, {waited[PARKED]} parked"


def ordered(system: System, topic: str) -> list[Received]:
    return sorted(system.records(topic), key=lambda record: (record.partition, record.offset))
