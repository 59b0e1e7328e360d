"""A small parent for `serve`, `work` and `connect watch`: it keeps its children alive, and answers for their health on
the admin port.

A child is a process of its own, so that one which may no longer promise anything can simply end. It tells its state
every second through a pipe; one that falls silent is ended, one that ends is started again after a growing pause. When
the parent dies, its children see it and finish what they have open.
"""

import asyncio
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from ingest import telemetry

STALLED_SECONDS = 20.0  # a child tells its state every second, from its first moment on
GRACE_SECONDS = 30.0  # more than a drain and a flush take
STEADY_SECONDS = 60.0  # a child that lived this long is started again at once
LONGEST_PAUSE = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What a child runs: `deploy.child`'s name for it, and the listening socket it is given, if any."""

    name: str
    sock: socket.socket | None = None


async def supervise(programs: Sequence[Program], admin: socket.socket) -> int:
    """Runs the children until SIGTERM or SIGINT, with `admin` as the admin port; 0 when all ended in peace."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    counters = tempfile.mkdtemp(prefix="leadstream-metrics-")
    children = [_Child(program, counters) for program in programs]
    runner = web.AppRunner(_admin(children, counters), access_log=None)
    await runner.setup()
    try:
        await web.SockSite(runner, admin).start()
        host, port = admin.getsockname()[:2]
        telemetry.log("info", "admin.listening", url=f"http://{host}:{port}")
        codes = await asyncio.gather(*(child.keep_alive(stop) for child in children))
    finally:
        await runner.cleanup()
        shutil.rmtree(counters, ignore_errors=True)
    return 0 if not any(codes) else 1


class _Child:
    def __init__(self, program: Program, counters: str) -> None:
        self.program = program
        self.ready = False
        self.why = "starting"
        self._counters = counters
        self._told = time.monotonic()
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def alive(self) -> bool:
        return self._process is not None and time.monotonic() - self._told < STALLED_SECONDS

    async def keep_alive(self, stop: asyncio.Event) -> int:
        """Starts the program again and again until told to stop; the exit code of the last one."""
        pause = 0.0
        while True:
            started = time.monotonic()
            code = await self._run(stop)
            self._process, self.ready, self.why = None, False, f"ended with {code}"
            telemetry.log("info" if code == 0 else "error", "process.ended", program=self.program.name, code=code)
            if stop.is_set():
                self._close()
                return 0 if code == -signal.SIGTERM else code  # told to stop before it could hear it
            pause = 0.0 if time.monotonic() - started > STEADY_SECONDS else min(max(1.0, 2 * pause), LONGEST_PAUSE)
            telemetry.RESTARTS.labels(program=self.program.name).inc()
            telemetry.log("warning", "process.restarting", program=self.program.name, seconds=pause)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), pause)
            if stop.is_set():
                self._close()
                return code

    async def _run(self, stop: asyncio.Event) -> int:
        told, tell = os.pipe()
        lifeline, hold = os.pipe()  # never written to: its end tells the child that we are gone
        given = [tell, lifeline] + ([self.program.sock.fileno()] if self.program.sock else [])
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "deploy.child", self.program.name, *map(str, given)),
                pass_fds=given,
                env=os.environ | {"PROMETHEUS_MULTIPROC_DIR": self._counters},
                start_new_session=True,  # Ctrl-C in a terminal is ours to pass on
            )
        finally:
            os.close(tell)
            os.close(lifeline)
        self._process, self._told, self.why = process, time.monotonic(), "starting"
        telemetry.log("info", "process.started", program=self.program.name, pid=process.pid)
        listening = asyncio.create_task(self._listen(told))
        try:
            return await self._attend(process, stop)
        finally:
            os.close(hold)
            listening.cancel()
            mark_process_dead(process.pid, path=self._counters)  # type: ignore[no-untyped-call]  # it has no type here

    async def _attend(self, process: asyncio.subprocess.Process, stop: asyncio.Event) -> int:
        ended = asyncio.create_task(process.wait())
        stopping = asyncio.create_task(stop.wait())
        try:
            while not ended.done() and not stopping.done():
                await asyncio.wait((ended, stopping), timeout=1, return_when=asyncio.FIRST_COMPLETED)
                if not ended.done() and not self.alive:
                    telemetry.log("error", "process.stalled", program=self.program.name, pid=process.pid)
                    process.kill()
                    await ended
            if not ended.done():
                self._close()
                process.terminate()
                await asyncio.wait((ended,), timeout=GRACE_SECONDS)
            if not ended.done():
                process.kill()
            return await ended
        finally:
            stopping.cancel()

    async def _listen(self, pipe: int) -> None:
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(pipe, "rb", buffering=0)
        )
        try:
            while line := await reader.readline():
                self._told = time.monotonic()
                said = json.loads(line)
                self.ready, self.why = said["ready"], said["why"]
        finally:
            transport.close()

    def _close(self) -> None:
        """Our own copy of the socket: left open, it would take connections that nobody answers."""
        if self.program.sock is not None:
            self.program.sock.close()


def _admin(children: Sequence[_Child], counters: str) -> web.Application:
    async def health(_: web.Request) -> web.Response:
        return _state(children, [child.alive for child in children])

    async def ready(_: web.Request) -> web.Response:
        return _state(children, [child.alive and child.ready for child in children])

    async def metrics(_: web.Request) -> web.Response:
        registry = CollectorRegistry()
        MultiProcessCollector(registry, path=counters)  # type: ignore[no-untyped-call]  # the library has no type here
        registry.register(telemetry.RESTARTS)
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.router.add_get("/health", health)
    app.router.add_get("/ready", ready)
    app.router.add_get("/metrics", metrics)
    return app


def _state(children: Sequence[_Child], good: Sequence[bool]) -> web.Response:
    told = [
        {"program": child.program.name, "pid": child.pid, "ok": ok, "why": "" if ok else child.why}
        for child, ok in zip(children, good, strict=True)
    ]
    return web.json_response({"ok": all(good), "processes": told}, status=200 if all(good) else 503)


def listen(host: str, port: int, copies: int) -> list[socket.socket]:
    """Sockets that share one port, for as many processes; the kernel spreads connections over them.

    They are the parent's, so connections wait in them while a child is started again. OSError when the port is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sockets: list[socket.socket] = []
    for _ in range(copies):
        sock = socket.create_server((host, port), family=family, reuse_port=copies > 1, backlog=1024)
        port = sock.getsockname()[1]
        sockets.append(sock)
    return sockets
