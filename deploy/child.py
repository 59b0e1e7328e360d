"""What a parent starts: one program, told to stop by SIGTERM or by its parent's end, telling its state every second.

Not for people: `leadstream serve`, `work`, `connect watch` and the commands with `--every` start it.
"""

import asyncio
import gc
import json
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress

from ingest import telemetry
from ingest.groups import NoTopics
from ingest.registry import RegistryError
from ingest.settings import KafkaSettings, MetaSettings, SettingsError, WebhookSettings, read

Report = Callable[[bool, str], None]


def main(name: str, tell: int, lifeline: int, sock: int | None = None) -> int:
    """Runs the program to its end; 0 in peace, 1 when it had to end, 2 when it cannot start as it is set up."""
    telemetry.start_logging(name)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with asyncio.Runner(loop_factory=_loop()) as runner:
            runner.run(_live(name, tell, lifeline, sock))
    except (SettingsError, RegistryError, NoTopics) as error:
        sys.stderr.write(f"leadstream {name}: {error}\n")
        return 2
    except Exception as error:  # noqa: BLE001  the last frame of the process: what ends it is told by name, never by text
        telemetry.log("error", "worker.crashed", error=type(error.__cause__ or error).__name__)
        return 1
    return 0


def _loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's loop where there is one: each wake-up, timer and socket costs less."""
    try:
        from uvloop import new_event_loop  # noqa: PLC0415  not on every platform
    except ImportError:
        return None
    return new_event_loop


async def _live(name: str, tell: int, lifeline: int, sock: int | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)

    def orphaned() -> None:
        loop.remove_reader(lifeline)  # its end stays readable, and would call this without pause
        stop.set()

    loop.add_reader(lifeline, orphaned)  # nothing is ever written to it: readable means that the parent is gone
    state = {"ready": False, "why": "starting"}

    def report(ready: bool, why: str) -> None:
        state.update(ready=ready, why=why)

    telling = asyncio.create_task(_tell(tell, state))
    try:
        program = _program(name, sock)
        _collect_less()
        await program(stop, report)
    finally:
        loop.remove_reader(lifeline)
        telling.cancel()


def _program(  # noqa: PLR0911  one for each program
    name: str, sock: int | None
) -> Callable[[asyncio.Event, Report], Awaitable[None]]:
    # Each program's own libraries, and no other's: Faust alone is 40 MB and half a second.
    match name, sock:
        case "serve", int(number):
            from ingest.app import serve  # noqa: PLC0415  see above

            return lambda stop, report: serve(
                read(WebhookSettings),
                read(MetaSettings),
                read(KafkaSettings),
                sock=socket.socket(fileno=number),
                stop=stop,
                report=report,
            )
        case "fetch", _:
            from processors.app import work_fetch  # noqa: PLC0415  see above

            return work_fetch
        case "map", _:
            from processors.app import work_map  # noqa: PLC0415  see above

            return work_map
        case "retry", _:
            from processors.app import work_retry  # noqa: PLC0415  see above

            return work_retry
        case "connect", _:
            from deploy.connect import watch  # noqa: PLC0415  see above

            return watch
        case "reconcile", _:
            from deploy.reconcile import watch as reconcile  # noqa: PLC0415  see above

            return reconcile
        case "canary", _:
            from deploy.canary import watch as fly  # noqa: PLC0415  see above

            return fly
        case _:
            raise ValueError(name)


def _collect_less() -> None:
    """Python looks for cycles whenever 700 more objects live; a full window is thousands, and there are none in it.

    What is imported by now stays for good, and is not looked at again.
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


async def _tell(pipe: int, state: dict[str, object]) -> None:
    """A loop that hangs tells nothing, and is ended for it."""
    while True:
        with suppress(BrokenPipeError):  # the lifeline says so too
            os.write(pipe, json.dumps(state).encode() + b"\n")
        await asyncio.sleep(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], *map(int, sys.argv[2:])))
