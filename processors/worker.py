"""One Faust app over one window: started, watched, and stopped with nothing open committed."""

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from ssl import create_default_context
from typing import cast

import faust
from faust.types.auth import CredentialsT
from faust.types.transports import TransportT
from mode.supervisors import CrashingSupervisor

from ingest import telemetry
from ingest.groups import begin
from ingest.settings import KafkaSettings
from processors.agents import Step, attach
from processors.batches import QUEUED, InBatches
from processors.consumer import DRAIN_SECONDS, WindowedConsumer, WindowedTransport
from processors.window import Window

STOP_SECONDS = DRAIN_SECONDS + 10.0
CHECK_SECONDS = 20.0  # the consumer's thread may be inside a fetch or a commit, but not for longer
REBALANCE_SECONDS = 120.0  # with a broker that answers; a drain and a join take seconds
_PATIENCE = 1.0


class WorkerFailed(Exception):
    """The worker cannot go on without risking a record: its process must end, and another takes over."""


class WindowedApp(faust.App):
    """A Faust app whose consumer commits what `window` allows."""

    window: Window
    drain_seconds: float

    def _new_transport(self) -> TransportT:
        return WindowedTransport(self.conf.broker_consumer, self)


class Worker:
    """Reads `topics` for `group` and runs `step` on each record, `size` of them open at once.

    `report(ready, why)` is called about every second: ready means that partitions are assigned and that Kafka answers,
    which `reachable` tells within the seconds it is given. `drain` is for how many seconds what is open may finish
    before it is left to the next owner.
    """

    def __init__(
        self,
        *,
        kafka: KafkaSettings,
        group: str,
        topics: Sequence[str],
        step: Step,
        size: int,
        reachable: Callable[[float], Awaitable[bool]],
        report: Callable[[bool, str], None],
        drain: float = DRAIN_SECONDS,
    ) -> None:
        self._reachable = reachable
        self._settled = time.monotonic()  # when the group was last seen not rebalancing, or the broker away
        self._report = report
        self._begin = partial(begin, kafka, group, topics)
        self._defect: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._window = Window(size=size, on_defect=self._on_defect)
        self._data = tempfile.TemporaryDirectory(prefix="leadstream-")  # Faust wants a folder; nothing is kept in it
        self._app = _faust_app(kafka, group, self._data.name)
        self._app.window = self._window
        self._app.drain_seconds = drain
        for topic in topics:
            attach(self._app, topic, step, self._window)
        self._open = telemetry.OPEN_RECORDS.labels(worker=group.rpartition("-")[2])
        self._counted = 0  # as open, in the gauge: several workers of one process share it

    @property
    def holds(self) -> frozenset[int]:
        """The numbers of the partitions it has now."""
        return frozenset(partition.number for partition in self._window.low_marks())

    async def run(self, stop: asyncio.Event) -> None:
        """Works until `stop` is set, then finishes what is open; WorkerFailed when the process has to end."""
        await asyncio.to_thread(self._begin)
        stopping = asyncio.create_task(stop.wait())
        starting = asyncio.create_task(self._app.start())
        try:
            await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                await self._watch(stopping)
        finally:
            stopping.cancel()
            starting.cancel()
            telemetry.log("info", "worker.draining", open=len(self._window))
            # A consumer whose thread has died may never come to its end; the window's marks make leaving it safe.
            with suppress(Exception):
                await asyncio.wait_for(self._app.stop(), STOP_SECONDS)
            self._data.cleanup()

    async def _watch(self, stopping: asyncio.Task[bool]) -> None:
        while not stopping.done():
            await asyncio.wait((stopping, self._defect), timeout=1, return_when=asyncio.FIRST_COMPLETED)
            if self._defect.done():
                self._defect.result()
            if self._app.should_stop:
                raise WorkerFailed from self._app.crash_reason
            await self._check()
            self._open.inc(len(self._window) - self._counted)
            self._counted = len(self._window)
            await self._tell()

    async def _check(self) -> None:
        """Whether the group still knows us: a worker that only looks alive would work on another's records."""
        try:
            await asyncio.wait_for(cast("WindowedConsumer", self._app.consumer).check(), CHECK_SECONDS)
        except Exception as error:  # whatever keeps us from knowing is no better than knowing
            raise WorkerFailed from error

    async def _tell(self) -> None:
        now = time.monotonic()
        if not await self._reachable(_PATIENCE):
            self._settled = now
            self._report(False, "the broker does not answer")
        elif self._app.rebalancing:
            if now - self._settled > REBALANCE_SECONDS:
                raise WorkerFailed from TimeoutError()
            self._report(False, "the group is rebalancing")
        else:
            self._settled = now
            idle = not self._app.consumer.assignment()
            self._report(not idle, "no partition is left for this worker" if idle else "")

    def _on_defect(self, error: Exception) -> None:
        telemetry.log("error", "worker.crashed", error=type(error).__name__)
        if not self._defect.done():
            failed = WorkerFailed()
            failed.__cause__ = error
            self._defect.set_exception(failed)


def _faust_app(kafka: KafkaSettings, group: str, folder: str) -> WindowedApp:
    return WindowedApp(
        group,
        broker=[f"kafka://{server.strip()}" for server in kafka.kafka_bootstrap_servers.split(",") if server.strip()],
        broker_credentials=_credentials(kafka),
        broker_commit_interval=1.0,
        # A killed worker's partitions go to another after this long; the broker's own minimum is 6 s.
        broker_session_timeout=10.0,
        broker_heartbeat_interval=3.0,
        broker_request_timeout=30.0,
        # A worker that waits for Meta for days is alive, and `_check` watches it: it keeps its place in the group. Once
        # out of it by this rule, it would join again only after a fetch, and Faust fetches only after it has joined.
        broker_max_poll_interval=10 * 365 * 86400.0,
        # An offset that no longer exists must never be answered by jumping (see OffsetGone).
        consumer_auto_offset_reset="none",
        agent_supervisor=CrashingSupervisor,  # an agent that is started again has passed its record over
        stream_buffer_maxsize=QUEUED,
        ConsumerScheduler=InBatches,
        stream_wait_empty=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        table_standby_replicas=0,
        web_enabled=False,  # it would serve data; the parent process has its own health and metrics
        datadir=folder,
        store="memory://",
        worker_redirect_stdouts=False,
    )


def _credentials(kafka: KafkaSettings) -> CredentialsT | None:
    protocol = kafka.kafka_security_protocol
    if protocol == "PLAINTEXT":
        return None
    context = create_default_context(cafile=kafka.kafka_ssl_ca_file) if protocol.endswith("SSL") else None
    if protocol == "SSL":
        return faust.SSLCredentials(context=context)
    return faust.SASLCredentials(
        username=kafka.kafka_sasl_username,
        password=kafka.kafka_sasl_password.get_secret_value(),
        mechanism=kafka.kafka_sasl_mechanism,
        ssl_context=context,
    )
