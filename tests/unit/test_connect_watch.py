"""`connect watch`: a double of Connect's REST API, a clock that the test moves, and what is done and told."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from prometheus_client import REGISTRY
from typer.testing import CliRunner

from deploy.connect.cli import connect
from deploy.connect.patience import Limits, Patience
from deploy.connect.rest import Connect
from deploy.connect.watching import Seen, Watcher
from ingest import telemetry

LIMITS = Limits(every=10, limit=3, within=600)
TRACE = """\
org.apache.kafka.connect.errors.ConnectException: Exiting WorkerSinkTask due to unrecoverable exception.
\tat org.apache.kafka.connect.runtime.WorkerSinkTask.deliverMessages(WorkerSinkTask.java:658)
Caused by: java.sql.BatchUpdateException: Batch entry 1 INSERT INTO sales (name) VALUES ('Zoe Planted
Caused by: Planted') was aborted
Caused by: org.postgresql.util.PSQLException: ERROR: invalid byte sequence: Planted
"""


@dataclass
class Cluster:
    """A Kafka Connect with connectors of one task each, as one worker tells of them."""

    failed: dict[str, bool] = field(default_factory=dict)
    restarts_help: bool = False
    refuses_with: int = 0
    restarted: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_get("/connectors", self._connectors)
        app.router.add_post("/connectors/{name}/restart", self._restart)
        async with TestServer(app, host="127.0.0.1") as server:
            yield str(server.make_url(""))

    async def _connectors(self, request: web.Request) -> web.Response:
        assert request.query["expand"] == "status"
        return web.json_response({name: {"status": self._status(name)} for name in self.failed})

    def _status(self, name: str) -> dict[str, object]:
        task = {"state": "FAILED", "trace": TRACE} if self.failed[name] else {"state": "RUNNING"}
        running = {"state": "RUNNING", "worker_id": "127.0.0.1:8083", "version": "3"}
        return {"name": name, "connector": running, "tasks": [{"id": 0, **task}], "type": "sink"}

    async def _restart(self, request: web.Request) -> web.Response:
        # As Connect does: it answers 500 to a POST of another type.
        if request.content_type != "application/json":
            return web.json_response({"error_code": 500, "message": "HTTP 415 Unsupported Media Type"}, status=500)
        if self.refuses_with:
            return web.json_response({"error_code": self.refuses_with}, status=self.refuses_with)
        assert dict(request.query) == {"includeTasks": "true", "onlyFailed": "true"}
        name = request.match_info["name"]
        self.restarted.append(name)
        self.failed[name] = self.failed[name] and not self.restarts_help
        return web.json_response(self._status(name), status=202)


@contextmanager
def served(cluster: Cluster) -> Iterator[str]:
    """The cluster in a thread of its own, for a command that has a loop of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    opened = cluster.open()
    try:
        yield asyncio.run_coroutine_threadsafe(opened.__aenter__(), loop).result(10)
    finally:
        asyncio.run_coroutine_threadsafe(opened.__aexit__(None, None, None), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


Told = list[tuple[str, dict[str, object]]]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    """Events in their order."""
    events: Told = []
    monkeypatch.setattr(telemetry, "log", lambda _, event, **ids: events.append((event, ids)))
    monkeypatch.setattr(telemetry, "start_logging", lambda _: None)  # to a stderr that a command's test closes
    return events


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def nothing(_: float) -> None:
    """Happens between two looks."""


def look(
    cluster: Cluster, *times: float, only: tuple[str, ...] = (), before: Callable[[float], None] = nothing
) -> list[Seen]:
    """What looks at these times find; `before` each of them something may happen."""

    async def run() -> list[Seen]:
        clock, found = Clock(), []
        async with cluster.open() as url, aiohttp.ClientSession() as session:
            watcher = Watcher(Connect(url, session=session), LIMITS, only=only, now=clock)
            for clock.now in times:
                before(clock.now)
                found.append(await watcher.look())
        return found

    return asyncio.run(run())


def failed_of(connector: str) -> float | None:
    return REGISTRY.get_sample_value("leadstream_connect_failed", {"connector": connector})


def test_what_runs_is_left_alone(told: Told) -> None:
    cluster = Cluster({"a": False})
    assert look(cluster, 0, 10) == [Seen(), Seen()]
    assert (cluster.restarted, told) == ([], [])


def test_a_failed_task_is_restarted_and_its_recovery_told(told: Told) -> None:
    cluster = Cluster({"a": True, "b": False}, restarts_help=True)
    look(cluster, 0, 10)
    assert cluster.restarted == ["a"]
    assert [event for event, _ in told] == ["connect.failed", "connect.restarted", "connect.recovered"]
    assert told[0][1] == {"connector": "a", "failed": 1, "error": "org.postgresql.util.PSQLException"}
    assert failed_of("a") == 0


def test_of_a_trace_nothing_is_told_but_the_class_of_its_cause(told: Told) -> None:
    [seen] = look(Cluster({"a": True}), 0)
    assert "Planted" not in repr(seen)
    assert "Planted" not in repr(told)


def test_after_the_limit_it_is_given_up_with_an_alarm_that_stays(told: Told) -> None:
    cluster = Cluster({"given up": True})
    look(cluster, *range(0, 590, 10))
    assert cluster.restarted == ["given up"] * LIMITS.limit
    assert [event for event, _ in told].count("connect.given-up") == 1
    assert told[-1][0] == "connect.given-up"
    assert failed_of("given up") == 1


def steps(patience: Patience, failed: bool, *times: float) -> list[str]:
    """What is done at these times, every restart being taken up."""
    done: list[str] = []
    for now in times:
        step = patience.look(failed, now)
        if step == "restart":
            patience.restarted(now)
        done.append(step)
    return done


def test_each_restart_waits_twice_as_long_as_the_one_before() -> None:
    done = steps(Patience(Limits(every=10, limit=4, within=600)), True, *range(0, 160, 10))
    assert [10 * look for look, step in enumerate(done) if step == "restart"] == [0, 10, 30, 70]
    assert done[15] == "give up"


def test_one_that_ran_for_long_has_all_its_restarts_again() -> None:
    patience = Patience(LIMITS)
    first = steps(patience, True, *range(0, 100, 10))
    assert steps(patience, False, 100, 110) == ["recovered", "well"]
    assert steps(patience, True, *range(1000, 1100, 10)) == first
    assert (first.count("restart"), first.count("give up")) == (LIMITS.limit, 1)


def test_one_that_was_given_up_and_ran_for_a_moment_is_given_up_again_at_once() -> None:
    patience = Patience(LIMITS)
    steps(patience, True, *range(0, 100, 10))
    assert steps(patience, False, 100) == ["recovered"]
    assert steps(patience, True, 110, 120, 500) == ["give up", "wait", "wait"]


def test_one_that_is_given_up_is_tried_once_in_a_while_for_an_outage_ends_by_itself(told: Told) -> None:
    cluster = Cluster({"a": True})

    def outage_ends(now: float) -> None:
        cluster.restarts_help = now > 1500

    look(cluster, *range(0, 2400, 10), before=outage_ends)
    assert len(cluster.restarted) == LIMITS.limit + 3
    assert told[-1][0] == "connect.recovered"


def test_a_restart_by_a_person_ends_the_alarm(told: Told) -> None:
    cluster = Cluster({"a": True})

    def repaired(now: float) -> None:
        if now == 300:
            cluster.failed["a"] = False

    look(cluster, *range(0, 310, 10), before=repaired)
    assert [event for event, _ in told][-2:] == ["connect.given-up", "connect.recovered"]
    assert failed_of("a") == 0


def test_one_connector_that_is_given_up_does_not_keep_another_from_its_restart() -> None:
    cluster = Cluster({"a": True, "b": False})

    def b_fails(now: float) -> None:
        cluster.failed["b"] = now == 200

    look(cluster, *range(0, 210, 10), before=b_fails)
    assert cluster.restarted == ["a", "a", "a", "b"]


def test_only_those_that_are_named_are_watched_and_one_that_is_not_there_is_said() -> None:
    cluster = Cluster({"a": True, "b": True})
    [seen] = look(cluster, 0, only=("b", "gone"))
    assert cluster.restarted == ["b"]
    assert [each.name for each in seen.failed] == ["b"]
    assert seen.missing == ("gone",)


def test_the_alarm_of_a_connector_that_is_deleted_ends() -> None:
    cluster = Cluster({"deleted": True})

    def deleted(now: float) -> None:
        if now:
            cluster.failed.clear()

    look(cluster, 0, 10, before=deleted)
    assert failed_of("deleted") == 0


def test_a_restart_that_is_refused_is_tried_at_the_next_look_and_is_not_counted(told: Told) -> None:
    """409 is Connect's answer while workers join or leave."""
    cluster = Cluster({"a": True, "b": True}, refuses_with=409)

    def settled(now: float) -> None:
        cluster.refuses_with = 409 if now < 100 else 0

    found = look(cluster, *range(0, 110, 10), before=settled)
    assert "409" in found[0].trouble
    assert cluster.restarted == ["a", "b"]
    assert ("connect.unreachable", {"connector": "a"}) in told


@pytest.mark.parametrize("answer", ["<html>a proxy</html>", '{"a": {"status": 7}}', "[]"])
def test_what_is_not_connect_is_unreachable_and_told_once(told: Told, answer: str) -> None:
    async def run() -> list[Seen]:
        async def proxy(_: web.Request) -> web.Response:
            return web.Response(text=answer)

        app = web.Application()
        app.router.add_get("/connectors", proxy)
        async with TestServer(app, host="127.0.0.1") as server, aiohttp.ClientSession() as session:
            watcher = Watcher(Connect(str(server.make_url("")), session=session), LIMITS)
            return [await watcher.look() for _ in range(3)]

    assert [seen.trouble for seen in asyncio.run(run())] == ["what answers there is not Kafka Connect"] * 3
    assert told == [("connect.unreachable", {})]


def test_one_look_is_enough_for_cron_and_fails_when_something_had_failed(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(Cluster({"a": True, "b": False}, restarts_help=True)) as url:
        monkeypatch.setenv("CONNECT_URL", url)
        first = CliRunner().invoke(connect, ["watch", "--once"])
        assert (first.exit_code, first.stdout) == (
            1,
            "a: 1 failed (org.postgresql.util.PSQLException), restarted\n",
        )
        second = CliRunner().invoke(connect, ["watch", "--once"])
        assert (second.exit_code, second.stdout) == (0, "")
    assert [event for event, _ in told] == ["connect.failed", "connect.restarted"]


def test_one_look_where_nobody_answers_fails_and_quotes_no_password(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    monkeypatch.setenv("CONNECT_URL", f"http://admin:Planted@127.0.0.1:{port}")
    result = CliRunner().invoke(connect, ["watch", "--once"])
    assert result.exit_code == 1
    assert "is CONNECT_URL right?" in result.stderr
    assert "Planted" not in result.output + repr(told)
