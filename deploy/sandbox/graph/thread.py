"""The double in a thread of its own, for synchronous tests and scripts."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue

from deploy.sandbox.graph.app import DEFAULT_HISTORY, running
from deploy.sandbox.graph.world import DEFAULT_PAGES, DEFAULT_SEED


@contextmanager
def running_in_thread(
    directory: Path, *, seed: int = DEFAULT_SEED, pages: int = DEFAULT_PAGES, history: int = DEFAULT_HISTORY
) -> Iterator[str]:
    """The double at the URL given, on a free port, until the block ends. What keeps it from starting is raised here."""
    started: SimpleQueue[str | Exception] = SimpleQueue()
    loop = asyncio.new_event_loop()
    ended = asyncio.Event()

    async def serve() -> None:
        try:
            async with running(directory, seed=seed, pages=pages, history=history) as url:
                started.put(url)
                await ended.wait()
        except Exception as error:  # noqa: BLE001 - handed to the thread that waits for the start
            started.put(error)

    def work() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(serve())

    thread = threading.Thread(target=work, name="graph double", daemon=True)
    thread.start()
    try:
        outcome = started.get(timeout=30)
        if isinstance(outcome, Exception):
            raise outcome
        yield outcome
    finally:
        if not loop.is_closed():
            loop.call_soon_threadsafe(ended.set)
        thread.join(timeout=30)
