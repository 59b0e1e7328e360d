"""The parent keeps its children alive, tells the truth about them, and takes them along when it goes."""

import os
import signal
import socket

import pytest

from ingest.meta.notification import Notification
from ingest.records import RAW
from tests.programs import System, eventually


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_child_that_dies_is_started_again_and_counted(system: System) -> None:
    serve = system.start("serve").wait_ready()
    [first] = serve.children()
    serve.kill_child()
    eventually(lambda: serve.children() not in ([], [first]), 60, "another child")
    serve.wait_ready()
    assert 'leadstream_restarts_total{program="serve"} 1.0' in serve.metrics()
    assert system.graph.send(system.webhook, "leadgen").status == "200"
    assert serve.stop() == 0


def test_a_child_whose_parent_is_killed_finishes_and_ends(system: System) -> None:
    worker = system.start("work", "map").wait_ready()
    [pid] = worker.children()
    worker.kill()
    eventually(lambda: not alive(pid), 60, "the child ends by itself")
    assert '"worker.draining"' in worker.log.read_text()


def test_a_child_that_falls_silent_is_ended_and_replaced(system: System) -> None:
    serve = system.start("serve").wait_ready()
    [pid] = serve.children()
    os.kill(pid, signal.SIGSTOP)
    eventually(lambda: serve.asked("health")[0] == 503, 60, "the silence is seen")
    eventually(lambda: not alive(pid), 60, "the silent child is ended")
    serve.wait_ready()
    assert '"process.stalled"' in serve.log.read_text()


def test_processes_share_the_port_and_the_counters(system: System) -> None:
    serve = system.start("serve", "--processes", "2").wait_ready()
    assert len(serve.children()) == 2
    delivery = system.graph.wait(system.graph.deliver(system.webhook, 200, concurrency=16).job)
    assert delivery.acknowledged == 200
    assert 'leadstream_deliveries_total{status="200"} 200.0' in serve.metrics()
    assert serve.stop() == 0


def test_a_stop_answers_what_is_open_and_exits_in_peace(system: System) -> None:
    """SIGTERM while deliveries run: what was not answered 200 is sent again by Meta, and nothing is lost."""
    serve = system.start("serve").wait_ready()
    job = system.graph.deliver(system.webhook, 400, rate=400, time_scale=0.02).job
    eventually(lambda: system.graph.progress(job).acknowledged > 50, 60, "deliveries under way")
    assert serve.stop() == 0
    system.start("serve").wait_ready()
    assert system.graph.wait(job).acknowledged == 400
    on_raw = {Notification.read(record.value or b"").lead_id for record in system.records(RAW)}
    assert on_raw == set(system.graph.acknowledged())


@pytest.mark.parametrize("command", [("serve",), ("work", "fetch"), ("work", "map"), ("work", "retry")], ids=" ".join)
def test_a_setting_that_is_missing_is_named(system: System, command: tuple[str, ...]) -> None:
    program = system.start(*command, KAFKA_BOOTSTRAP_SERVERS="")
    assert program.ended() == 2
    assert "KAFKA_BOOTSTRAP_SERVERS" in program.log.read_text()


@pytest.mark.parametrize("setting", ["INGEST_PORT", "ADMIN_PORT"])
def test_a_port_that_is_taken_is_named(system: System, setting: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        program = system.start("serve", **{setting: port})
        assert program.ended() == 2
    assert f"127.0.0.1:{port}" in program.log.read_text()
    assert setting in program.log.read_text()
